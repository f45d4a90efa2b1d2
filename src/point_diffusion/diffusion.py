"""The diffusion model: a schedule, a network and the units of its data, with the loss and sampling."""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from point_diffusion.common.workers import in_order
from point_diffusion.denoisers import Denoiser, NetworkDenoiser
from point_diffusion.draws import Draws
from point_diffusion.guidance import Guided
from point_diffusion.networks import build_network, call_network
from point_diffusion.prediction import PredictionType, deviation_of
from point_diffusion.registry import MEAN_FLOW, PREDICTION_TYPES
from point_diffusion.samplers import DDPM, JUMPS, Sampler, build_sampler, check_sampler
from point_diffusion.scaling import Division, Scaling, build_scaling
from point_diffusion.schedule import NoiseLevel, NoiseSchedule, build_schedule, prior_kl
from point_diffusion.training_target import WHOLE, training_example

R = TypeVar("R")


class Diffusion(nn.Module):
    """A denoising diffusion model of points.

    Args:
        schedule: the forward process.
        network: (x_t of shape (B, dim), t of shape (B,) or (1,)) to shape (B, dim); one that is conditioned takes
            a condition of shape (B, columns), too.
        prediction_type: what the network predicts; a name in
            :data:`point_diffusion.registry.PREDICTION_TYPES`.
        dim: dimension of the points.
        scaling: from the data's own units to those that the network sees, and back; None: they are the same.
        condition_dim: columns of the condition that the network takes; 0 where it takes none.
        sampler: how to sample by default.
        jumps: the network knows average velocities, which :class:`point_diffusion.samplers.MeanFlow` asks for.

    Attributes:
        data_mean, data_covariance: shapes (dim,) and (dim, dim), of the data as the network sees it; 0 and I
            until :meth:`describe_data`.

    Raises:
        ValueError: there is no such prediction type.
    """

    data_mean: Tensor
    data_covariance: Tensor

    def __init__(
        self,
        schedule: NoiseSchedule,
        network: nn.Module,
        prediction_type: str = "epsilon",
        dim: int = 2,
        scaling: Scaling | None = None,
        condition_dim: int = 0,
        sampler: Sampler | None = None,
        jumps: bool = False,
    ) -> None:
        super().__init__()
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(f"prediction_type={prediction_type}: must be one of {', '.join(PREDICTION_TYPES)}")
        self.schedule = schedule
        self.network = network
        if (see := getattr(network, "see_schedule", None)) is not None:  # one that thinks in noise levels
            see(schedule)
        self.prediction_type = prediction_type
        self._prediction = PREDICTION_TYPES[prediction_type]()
        self.register_buffer("data_mean", torch.zeros(dim))
        self.register_buffer("data_covariance", torch.eye(dim))
        self.dim = dim
        self.scaling = scaling or Division()
        self.condition_dim = condition_dim
        self.sampler = sampler or DDPM()
        self.jumps = jumps
        self._in_its_place: Denoiser | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], points: Mapping[str, Any]) -> "Diffusion":
        """Build from the sections ``schedule, model, module, sampler`` of a run's config, and what its points are:
        ``columns``, ``scaling`` and, of a conditional model, ``classes`` or ``condition``; see
        :class:`point_diffusion.data.description.Description`.
        """
        schedule = build_schedule(config["schedule"])
        return cls(
            schedule,
            build_network(config["model"], points, schedule.num_step),
            prediction_type=config["module"]["prediction_type"],
            dim=len(points["columns"]),
            scaling=build_scaling(points["scaling"]),
            condition_dim=bool(points.get("classes")) + len(points.get("condition", ())),
            sampler=build_sampler(config["sampler"]),
            jumps=config["module"].get("objective") == MEAN_FLOW,
        )

    @property
    def sigma_data(self) -> float:
        """Standard deviation of a coordinate of the data as the network sees it, over all of them."""
        return deviation_of(self.data_covariance).item()

    @property
    def prediction(self) -> PredictionType:
        """What the network's output means, for the data as it was described."""
        return self._prediction.fitted(self.data_covariance)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.schedule.betas.device

    def describe_data(self, points: Tensor) -> None:
        """Note mean and covariance of the data, of shape (N, dim) in its own units, which :meth:`prior_kl` and
        samplers that start ``matched`` use.
        """
        scaled = self.scaling.to_network(points.double())
        self.data_mean.copy_(scaled.mean(0))
        self.data_covariance.copy_(scaled.T.cov(correction=0).view(self.dim, self.dim))

    @property
    def denoiser(self) -> Denoiser:
        """The network as what samplers ask: see :class:`point_diffusion.denoisers.Denoiser`."""
        return self._in_its_place or NetworkDenoiser(self.schedule, self.network, self.prediction)

    def with_denoiser(self, denoiser: Denoiser) -> "Diffusion":
        """This model with another denoiser in the network's place: it is what samples and densities are of."""
        other = copy.copy(self)
        other._in_its_place = denoiser
        return other

    def check_sampler(self, sampler: Sampler) -> None:
        """Raise a ValueError if a sampler can't sample this model, or guides where there is no condition."""
        check_sampler(self.schedule, self.prediction, sampler)
        if sampler.jumps and not (self.jumps or self._in_its_place):
            raise ValueError(f"{type(sampler).__name__} takes {JUMPS}")
        if sampler.guidance != 1 and not self.condition_dim:
            raise ValueError(f"guidance={sampler.guidance:g}: must be 1, the model has no condition")

    def untold(self, num_points: int) -> Tensor | None:
        """A condition that tells nothing, shape (num_points, columns); None where the model takes none."""
        return self.data_mean.new_full((num_points, self.condition_dim), torch.nan) if self.condition_dim else None

    def prior_kl(self, level: NoiseLevel | None = None, rescale: float = 1.0) -> float:
        """The distance of q(x_T) from the N(0, I) that sampling starts from, in nats, at the schedule's x_T or
        another ``level``, and as if the points were divided by ``rescale``, too: see
        :func:`point_diffusion.schedule.prior_kl`.
        """
        level = level or self.schedule.last_level
        return prior_kl(level, self.data_mean / rescale, self.data_covariance / rescale**2)

    def draw(self, x_0: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The random part of the loss for a batch ``x_0`` of shape (B, dim): t of shape (B,), and noise of the
        shape of ``x_0``; from a generator on its device, or torch's own.
        """
        draws = Draws.by(generator, *x_0.shape, device=x_0.device)
        return draws.timesteps(self.schedule.num_step), draws.noise.to(x_0)

    def loss(
        self, x_0: Tensor, t: Tensor, noise: Tensor, condition: Tensor | None = None, **options: Any
    ) -> Tensor:
        """Mean squared error of the prediction over points and coordinates, a scalar; with ``epsilon`` the simple
        loss (Ho et al. 2020, eq. 14).

        Args:
            x_0: shape (B, dim), clean points as the network sees them.
            t: shape (B,), int64.
            noise: shape (B, dim), standard normal.
            condition: shape (B, columns), what the points are conditioned on; None where they are not.
            **options: of :func:`point_diffusion.training_target.training_example`.

        Raises:
            ValueError: a tensor is of another shape.
        """
        return F.mse_loss(*self._answer(x_0, t, noise, condition, **options))

    def squared_errors(self, x_0: Tensor, t: Tensor, noise: Tensor, part: slice = WHOLE, **options: Any) -> Tensor:
        """What :meth:`loss` is the mean of, for each point of a part, about which alone the network is asked;
        other arguments and what is raised as there.
        """
        output, target = self._answer(x_0, t, noise, part=part, **options)
        return (output - target).square().mean(dim=1)

    def _answer(
        self, x_0: Tensor, t: Tensor, *args: Any, part: slice = WHOLE, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """What the network says, and what it should."""
        example = training_example(self.schedule, self.prediction, x_0, t, *args, **options).of(part)
        return call_network(self.network, example.x, t[part], example.told), example.target

    def sample(
        self, num_samples: int, seed: int = 0, sampler: Sampler | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """New points.

        Args:
            num_samples: how many, at least 1.
            seed: the same points for the same seed.
            sampler: another one than the model's own.
            condition: shape (num_samples, columns), what each is conditioned on; None: on nothing.

        Returns:
            Shape (num_samples, dim), in the data's own units.

        Raises:
            ValueError: no points are asked for, or the sampler can't sample this model.
        """
        return torch.cat(list(self.sample_blocks(num_samples, seed, sampler, condition)))

    def sample_blocks(
        self,
        num_samples: int,
        seed: int = 0,
        sampler: Sampler | None = None,
        condition: Tensor | None = None,
        blocks: range | None = None,
    ) -> Iterator[Tensor]:
        """The points that :meth:`sample` draws, block by block, for as many as memory could not hold at once; all
        of the blocks, or some by number.
        """

        @torch.inference_mode()
        def end(trajectory: Iterator[tuple[int, Tensor]]) -> Tensor:
            _, x = deque(trajectory, maxlen=1).pop()
            return self.scaling.finish(self.scaling.to_data(x))

        yield from self._of_blocks(end, num_samples, seed, sampler, condition, blocks)

    def sample_trajectory(
        self, num_samples: int, seed: int = 0, sampler: Sampler | None = None, condition: Tensor | None = None
    ) -> tuple[list[int], Tensor]:
        """The reverse trajectories of the points that :meth:`sample` draws.

        Returns:
            t: the number of noise steps that are in each state, from T down to 0.
            states: shape (len(t), num_samples, dim), in the data's own units.
        """
        steps, states = zip(*self.trajectory_blocks(num_samples, seed, sampler, condition), strict=True)
        return list(steps[0]), torch.cat(states, dim=1)

    def trajectory_blocks(
        self,
        num_samples: int,
        seed: int = 0,
        sampler: Sampler | None = None,
        condition: Tensor | None = None,
        blocks: range | None = None,
    ) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """:meth:`sample_trajectory`, block by block; see :meth:`sample_blocks`."""

        @torch.inference_mode()
        def way(trajectory: Iterator[tuple[int, Tensor]]) -> tuple[tuple[int, ...], Tensor]:
            t, states = zip(*trajectory, strict=True)
            points = self.scaling.to_data(torch.stack(states))
            points[-1] = self.scaling.finish(points[-1])
            return t, points

        yield from self._of_blocks(way, num_samples, seed, sampler, condition, blocks)

    def _of_blocks(
        self,
        function: Callable[[Iterator[tuple[int, Tensor]]], R],
        num_samples: int,
        seed: int,
        sampler: Sampler | None,
        condition: Tensor | None,
        blocks: range | None,
    ) -> Iterator[R]:
        """What a function makes of each block's trajectory; on all cores, unless another device computes."""
        sampler = sampler or self.sampler
        self.check_sampler(sampler)
        denoiser, condition = self.guided(sampler, num_samples, condition)
        made = sampler.blocks(denoiser, num_samples, seed, self.moments(), condition, blocks)
        yield from in_order(function, made) if self.device.type == "cpu" else map(function, made)

    def moments(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the data as the network sees it; in the model's own type for None."""
        return self.data_mean.to(dtype), self.data_covariance.to(dtype)

    def guided(
        self, sampler: Sampler, num_points: int, condition: Tensor | None, dtype: torch.dtype | None = None
    ) -> tuple[Denoiser, Tensor | None]:
        """The denoiser that a sampler is given, and the condition of so many points: told nothing for None.

        Args:
            sampler: says how strongly it guides.
            num_points: how many.
            condition: shape (num_points, columns), or None.
            dtype: what it computes with; for another one than the model's own the network is copied.
        """
        denoiser: Denoiser = self.denoiser
        dtype = dtype or self.data_mean.dtype
        if dtype != self.data_mean.dtype and self._in_its_place is None:
            denoiser = NetworkDenoiser(self.schedule, copy.deepcopy(self.network).to(dtype), self.prediction)
        if not self.condition_dim:
            return denoiser, condition
        condition = self.untold(num_points) if condition is None else condition
        return Guided(denoiser, sampler.guidance), None if condition is None else condition.to(dtype)
