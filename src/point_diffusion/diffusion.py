"""The diffusion model: a schedule, a network and the units of its data, with the loss and the way back."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from point_diffusion.common.seeds import generator
from point_diffusion.network import build_network
from point_diffusion.prediction import PREDICTION_TYPES, SMALLEST_SIGNAL, stable_target
from point_diffusion.samplers import DDIM, DDPM, Sampler, build_sampler
from point_diffusion.schedule import (
    Level,
    NoiseSchedule,
    build_schedule,
    moments,
    prior_kl,
)

# Points are sampled in blocks of this size, each with a generator of its own: bounded memory, in cache
SAMPLE_BLOCK = 2_000
# nats between q(x_T) and N(0, I) above which the health check speaks up
LARGEST_PRIOR_KL = 0.01
# about what float32 holds
SMALLEST_ALPHAS_CUMPROD = 1e-37


def antithetic_timesteps(batch_size: int, num_step: int, generator: torch.Generator) -> Tensor:
    """Steps in pairs t and T - 1 - t, so that every batch sees low and high noise alike.

    Returns:
        Shape (batch_size,), int64, each uniform in [0, num_step); an odd batch leaves one step without its twin.
    """
    half = torch.randint(0, num_step, ((batch_size + 1) // 2,), generator=generator, device=generator.device)
    return torch.cat([half, num_step - 1 - half])[:batch_size]


def unfit_sampler(schedule: NoiseSchedule, prediction_type: str, sampler: Sampler) -> str:
    """Why this sampler can't work with this prediction on this schedule, with advice; empty where it can.

    Raises:
        ValueError: there are fewer steps than it takes.
    """
    steps = [*sampler.timesteps(schedule), -1]
    signal = schedule.last_level.signal
    if signal**2 < SMALLEST_ALPHAS_CUMPROD:
        return f"x_T holds {signal:.1g} of the signal, less than can be computed with; use smaller betas or fewer"
    if prediction_type != "epsilon":
        return ""
    signals = [schedule.level(t).signal for t in steps]
    # one step divides by the signal that it leaps over; where x_0 is needed, by all of it
    leap = signal if sampler.needs_x_0 else min(now / to for now, to in pairwise(signals))
    if leap >= SMALLEST_SIGNAL:
        return ""
    count = "1 step" if len(steps) == 2 else f"{len(steps) - 1} steps"
    return (
        f"{type(sampler).__name__} in {count} needs x_0, which epsilon can't say where x_T holds {signal:.1g} of"
        " the signal; use module.prediction_type=v_prediction, or sampler=ddpm with all steps"
    )


class Diffusion(nn.Module):
    """A denoising diffusion model of points.

    Args:
        schedule: the forward process.
        network: (x_t of shape (B, dim), t of shape (B,) or (1,)) to shape (B, dim).
        prediction_type: what the network predicts; a name in
            :data:`point_diffusion.prediction.PREDICTION_TYPES`.
        dim: dimension of the points.
        scale: the network sees points divided by this; samples are multiplied by it.
        sampler: how to sample unless told otherwise.

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
        scale: float = 1.0,
        sampler: Sampler | None = None,
    ) -> None:
        super().__init__()
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(f"prediction_type={prediction_type}: must be one of {', '.join(PREDICTION_TYPES)}")
        self.schedule = schedule
        self.network = network
        self.prediction_type = prediction_type
        self.register_buffer("data_mean", torch.zeros(dim))
        self.register_buffer("data_covariance", torch.eye(dim))
        self.dim = dim
        self.scale = scale
        self.sampler = sampler or DDPM()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Diffusion":
        """Build from plain numbers: the sections ``data, schedule, model, module, sampler`` of a run's config."""
        dim, scale = config["data"]["dim"], config["data"]["scale"]
        return cls(
            build_schedule(config["schedule"]),
            build_network(config["model"], dim),
            prediction_type=config["module"]["prediction_type"],
            dim=dim,
            scale=scale,
            sampler=build_sampler(config["sampler"]),
        )

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.schedule.betas.device

    def describe_data(self, points: Tensor) -> None:
        """Note mean and covariance of the data: the health check and samplers that start ``matched`` use them.

        Args:
            points: shape (N, dim), in the data's own units.
        """
        scaled = points.double() / self.scale
        self.data_mean.copy_(scaled.mean(0))
        self.data_covariance.copy_(scaled.T.cov(correction=0).view(self.dim, self.dim))

    def health(self) -> tuple[dict[str, float], str]:
        """What x_T really is.

        Returns:
            numbers: ``sqrt_alphas_cumprod_T``, the signal left in x_T; ``prior_kl``, the distance of q(x_T) from
                the N(0, I) that sampling starts from, in nats.
            advice: one line that says them and, where they are not small, which setting cures it.
        """
        signal = self.schedule.last_level.signal
        kl = prior_kl(self.schedule.last_level, self.data_mean, self.data_covariance)
        line = f"x_T holds {signal:.3g} of the signal; q(x_T) is {kl:.2g} nats from N(0, I)"
        if kl > LARGEST_PRIOR_KL and self.sampler.start == "normal":
            line += f": sampling starts where the network was never trained; {self._cure()}"
        if self.prediction_type == "epsilon" and signal < SMALLEST_SIGNAL:
            line += ": too little for epsilon to say x_0; module.prediction_type=v_prediction can"
        return {"sqrt_alphas_cumprod_T": signal, "prior_kl": kl}, line

    def _cure(self) -> str:
        spread = (self.data_covariance.trace() / self.dim + self.data_mean.square().mean()).sqrt().item()
        ends, scales = "schedule.alphas_cumprod_end=1e-4", f"data.scale={self.scale * spread:.2g}"
        now, end = self.schedule.last_level, Level(1e-2, (1 - 1e-4) ** 0.5)
        for level, scale, cure in (
            (end, 1.0, f"{ends} cures it (sampler.start=matched keeps the schedule)"),
            (now, spread, f"{scales} cures it"),
            (end, spread, f"{scales} with {ends} cures it"),
        ):
            if prior_kl(level, self.data_mean / scale, self.data_covariance / scale**2) <= LARGEST_PRIOR_KL:
                return cure
        return "sampler.start=matched cures it"

    def draw(self, x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The random part of the loss for a batch: t of shape (B,), and noise of the shape of ``x_0``."""
        t = antithetic_timesteps(len(x_0), self.schedule.num_step, generator)
        return t, torch.randn(x_0.shape, generator=generator, device=generator.device, dtype=x_0.dtype)

    def loss(self, x_0: Tensor, t: Tensor, noise: Tensor, stable: bool = False) -> Tensor:
        """Mean squared error of the prediction over points and coordinates, a scalar; with ``epsilon`` the simple
        loss (Ho et al. 2020, eq. 14).

        Args:
            x_0: shape (B, dim), clean points divided by ``scale``.
            t: shape (B,), int64.
            noise: shape (B, dim), standard normal.
            stable: see :func:`point_diffusion.prediction.stable_target`; the loss is then smaller by what the
                targets no longer scatter.
        """
        signal, sigma = self.schedule.levels(t, x_0)
        x = signal * x_0 + sigma * noise
        if stable:
            x_0, noise = stable_target(x, x_0, signal, sigma)
        target = PREDICTION_TYPES[self.prediction_type].target(x_0, noise, signal, sigma)
        return F.mse_loss(self.network(x, t), target)

    def predict(self, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """What the network says of x_t at one step: (x_0, epsilon), each of the shape of ``x``."""
        output = self.network(x, torch.full((1,), t, device=x.device))
        return PREDICTION_TYPES[self.prediction_type].x_0_and_epsilon(output, x, *self.schedule.level(t))

    def noised(self, points: Tensor, steps: Sequence[int], generator: torch.Generator) -> list[Tensor]:
        """Points with so many noise steps in them.

        Args:
            points: shape (N, dim), in the data's own units.
            steps: the numbers of noise steps, from 0 to num_step.
            generator: draws the noise, on the device of ``points``.

        Returns:
            For each of ``steps`` shape (N, dim), in the data's own units.
        """
        x_0, states = points / self.scale, []
        for count in steps:
            noise = torch.randn(x_0.shape, generator=generator, device=x_0.device, dtype=x_0.dtype)
            t = torch.tensor([count - 1], device=x_0.device)  # the schedule counts from 0
            states.append((self.schedule.add_noise(x_0, noise, t) if count > 0 else x_0) * self.scale)
        return states

    @torch.inference_mode()
    def flow(self, truth: Tensor, seed: int = 0) -> tuple[list[int], Tensor, list[Tensor], list[Tensor]]:
        """What :func:`point_diffusion.report.figures.vector_field` draws of a model of points in the plane.

        Args:
            truth: shape (N, 2), the data; the field is asked around it.
            seed: of the noise from which the ways start.

        Returns:
            steps: t of four moments on the way back, the number of noise steps.
            grid: shape (G, 2), places around the data.
            fields: the velocity at these places and moments, shape (G, 2) each.
            paths: the ways of twelve points up to these moments, shape (K, 12, 2) each.
        """
        low, high = truth.min(0).values, truth.max(0).values
        reach = (high - low).max().item() or 1.0
        line = torch.linspace(-0.95, 0.95, 20) * reach
        grid = torch.cartesian_prod(line, line) + (low + high) / 2
        deterministic = DDIM()
        fit = not unfit_sampler(self.schedule, self.prediction_type, deterministic)
        t, states = self.sample_trajectory(12, seed, deterministic if fit else self.sampler)
        moments = sorted({round(part * (len(t) - 2)) for part in (0, 0.4, 0.7, 0.95)})
        grid = grid.to(self.data_mean)
        fields = [self.velocity(grid, t[moment] - 1) for moment in moments]
        return [t[moment] for moment in moments], grid, fields, [states[: moment + 1] for moment in moments]

    @torch.inference_mode()
    def velocity(self, x: Tensor, t: int) -> Tensor:
        """Which way the model moves points, back to the data: minus the velocity v = signal epsilon - sigma x_0 of
        the probability flow by its angle (Salimans & Ho 2022, app. D).

        Args:
            x: shape (B, dim), in the data's own units.
            t: a step in [0, num_step).

        Returns:
            Shape (B, dim), in the data's own units.
        """
        signal, sigma = self.schedule.level(t)
        x_0, epsilon = self.predict(x / self.scale, t)
        return (sigma * x_0 - signal * epsilon) * self.scale

    def check_sampler(self, sampler: Sampler) -> None:
        """Refuse a sampler that can't sample this model.

        Raises:
            ValueError: there are fewer steps than it takes, or it needs an x_0 that is not defined.
        """
        if problem := unfit_sampler(self.schedule, self.prediction_type, sampler):
            raise ValueError(problem)

    def sample(self, num_samples: int, seed: int = 0, sampler: Sampler | None = None) -> Tensor:
        """New points.

        Args:
            num_samples: how many, at least 1.
            seed: the same points for the same seed.
            sampler: another way than the model's own.

        Returns:
            Shape (num_samples, dim), in the data's own units.

        Raises:
            ValueError: no points are asked for, or the sampler can't sample this model.
        """
        return torch.cat(list(self.sample_blocks(num_samples, seed, sampler)))

    def sample_blocks(self, num_samples: int, seed: int = 0, sampler: Sampler | None = None) -> Iterator[Tensor]:
        """The points that :meth:`sample` draws, block by block: for as many as memory could not hold at once."""
        for states in self._blocks(num_samples, seed, sampler):
            with torch.inference_mode():
                for _, x in states:  # noqa: B007, the last is kept
                    pass
                points = x * self.scale
            yield points

    @torch.inference_mode()
    def sample_trajectory(
        self, num_samples: int, seed: int = 0, sampler: Sampler | None = None
    ) -> tuple[list[int], Tensor]:
        """The way of the points that :meth:`sample` draws.

        Returns:
            t: the number of noise steps that are in each state, from T down to 0.
            states: shape (len(t), num_samples, dim), in the data's own units.
        """
        blocks = [list(states) for states in self._blocks(num_samples, seed, sampler)]
        states = torch.cat([torch.stack([x for _, x in block]) for block in blocks], dim=1)
        return [t for t, _ in blocks[0]], states * self.scale

    def _blocks(
        self, num_samples: int, seed: int, sampler: Sampler | None
    ) -> Iterator[Iterator[tuple[int, Tensor]]]:
        """The trajectories of all points, one block of points after the other."""
        if num_samples < 1:
            raise ValueError(f"num_samples={num_samples}: must be at least 1")
        sampler = sampler or self.sampler
        self.check_sampler(sampler)
        mean, covariance = moments(self.schedule.last_level, self.data_mean, self.data_covariance)
        root = torch.linalg.cholesky(covariance) if sampler.start == "matched" else None
        for block, begin in enumerate(range(0, num_samples, SAMPLE_BLOCK)):
            size = min(SAMPLE_BLOCK, num_samples - begin)
            draws = generator("sample", seed, block, device=self.device)
            x = torch.randn((size, self.dim), generator=draws, device=self.device, dtype=self.data_mean.dtype)
            if root is not None:
                x = x @ root.T.to(x) + mean.to(x)
            yield sampler.trajectory(self.schedule, self.predict, x, draws)
