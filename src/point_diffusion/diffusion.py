"""The diffusion model: a schedule, a network and the units of its data, with the loss and the way back."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from point_diffusion.network import build_network
from point_diffusion.samplers import DDPM, Sampler, build_sampler
from point_diffusion.schedule import NoiseSchedule, build_schedule
from point_diffusion.seeds import generator

# Points are sampled in blocks of this size, each with a generator of its own: bounded memory, in cache
SAMPLE_BLOCK = 2_000


def antithetic_timesteps(batch_size: int, num_step: int, generator: torch.Generator) -> Tensor:
    """Steps in pairs t and T - 1 - t, so that every batch sees low and high noise alike.

    Returns:
        Shape (batch_size,), int64, each uniform in [0, num_step); an odd batch leaves one step without its twin.
    """
    half = torch.randint(0, num_step, ((batch_size + 1) // 2,), generator=generator, device=generator.device)
    return torch.cat([half, num_step - 1 - half])[:batch_size]


class Diffusion(nn.Module):
    """A denoising diffusion model of points (Ho et al. 2020), whose network predicts the noise.

    Args:
        schedule: the forward process.
        network: (x_t of shape (B, dim), t of shape (B,) or (1,)) to shape (B, dim).
        dim: dimension of the points.
        scale: the network sees points divided by this; samples are multiplied by it.
        sampler: how to sample unless told otherwise.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        network: nn.Module,
        dim: int = 2,
        scale: float = 1.0,
        sampler: Sampler | None = None,
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.network = network
        self.dim = dim
        self.scale = scale
        self.sampler = sampler or DDPM()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Diffusion":
        """Build from plain numbers: the sections ``data, schedule, model, sampler`` of a run's config."""
        dim, scale = config["data"]["dim"], config["data"]["scale"]
        return cls(
            build_schedule(config["schedule"]),
            build_network(config["model"], dim),
            dim=dim,
            scale=scale,
            sampler=build_sampler(config["sampler"]),
        )

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.schedule.betas.device

    def draw(self, x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The random part of the loss for a batch: t of shape (B,), and noise of the shape of ``x_0``."""
        t = antithetic_timesteps(len(x_0), self.schedule.num_step, generator)
        return t, torch.randn(x_0.shape, generator=generator, device=generator.device)

    def loss(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The simple loss (Ho et al. 2020, eq. 14): mean squared error over points and coordinates, a scalar.

        Args:
            x_0: shape (B, dim), clean points divided by ``scale``.
            t: shape (B,), int64.
            noise: shape (B, dim), standard normal.
        """
        return F.mse_loss(self.network(self.schedule.add_noise(x_0, noise, t), t), noise)

    def predict(self, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """What the network says of x_t at one step: (x_0, epsilon), each of the shape of ``x``."""
        signal, sigma = self.schedule.level(t)
        epsilon = self.network(x, torch.full((1,), t, device=x.device))
        return (x - sigma * epsilon) / signal, epsilon

    @torch.inference_mode()
    def sample(self, num_samples: int, seed: int = 0, sampler: Sampler | None = None) -> Tensor:
        """New points, in the data's own units: shape (num_samples, dim), the same for the same seed."""
        blocks = []
        for start in range(0, num_samples, SAMPLE_BLOCK):
            size = min(SAMPLE_BLOCK, num_samples - start)
            for _, x in self._block(size, seed, start // SAMPLE_BLOCK, sampler):  # noqa: B007, the last is kept
                pass
            blocks.append(x * self.scale)
        return torch.cat(blocks)

    @torch.inference_mode()
    def sample_trajectory(
        self, num_samples: int, seed: int = 0, sampler: Sampler | None = None
    ) -> tuple[list[int], Tensor]:
        """The way of the points that :meth:`sample` draws.

        Returns:
            t: the number of noise steps that are in each state, from T down to 0.
            states: shape (len(t), num_samples, dim), in the data's own units.
        """
        sizes = [min(SAMPLE_BLOCK, num_samples - start) for start in range(0, num_samples, SAMPLE_BLOCK)]
        blocks = [list(self._block(size, seed, block, sampler)) for block, size in enumerate(sizes)]
        states = torch.cat([torch.stack([x for _, x in block]) for block in blocks], dim=1)
        return [t for t, _ in blocks[0]], states * self.scale

    def _block(self, size: int, seed: int, block: int, sampler: Sampler | None) -> Iterator[tuple[int, Tensor]]:
        draws = generator("sample", seed, block, device=self.device)
        x = torch.randn((size, self.dim), generator=draws, device=self.device)
        yield from (sampler or self.sampler).trajectory(self.schedule, self.predict, x, draws)
