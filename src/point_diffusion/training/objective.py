"""From a batch to the loss that is trained: which steps are drawn, what they weigh, and what the target is."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from point_diffusion.data.datamodule import Batch
from point_diffusion.diffusion import Diffusion
from point_diffusion.draws import Draws
from point_diffusion.loss_weighting import output_weights
from point_diffusion.mean_flow import AverageVelocity, adaptive_weights, ends_of_jumps, mean_flow_errors
from point_diffusion.registry import MEAN_FLOW
from point_diffusion.timestep_sampling import LAWS, ImportanceSampling, timesteps_by_law
from point_diffusion.training.ranks import Ranks
from point_diffusion.training_target import WHOLE, training_example

SIMPLE = "simple"  # the loss weighs all errors of what is predicted alike
ANTITHETIC = "antithetic"


class Objective(nn.Module):
    """The loss of a run, by its ``module`` section.

    Args:
        options: that section.
        num_step: T.
        ranks: the processes that train together; None: this one alone.
    """

    def __init__(self, options: Mapping[str, Any], num_step: int, ranks: Ranks | None = None) -> None:
        super().__init__()
        self.ranks = ranks or Ranks()
        self.jumps: bool = options.get("objective") == MEAN_FLOW
        self.stable: bool = options["stable_target"]
        self.widening: float = options.get("noise_widening", 0.0)
        self.dropout: float = options["condition_dropout"]
        self.weighting: str = options.get("loss_weighting", SIMPLE)
        self.sampling: str = options.get("timestep_sampling", ANTITHETIC)
        self.importance = ImportanceSampling(num_step) if self.sampling == "importance" else None
        self._law: Tensor | None = None
        self._sigma_data = 1.0

    def start(self, diffusion: Diffusion) -> None:
        """Before the first batch, once the data is described."""
        self._sigma_data = diffusion.sigma_data
        if self.sampling in LAWS:
            law = LAWS[self.sampling](diffusion.schedule, self._sigma_data)
            self._law = law.to(diffusion.device, torch.float32)

    def loss(self, diffusion: Diffusion, batch: Batch, draws: Draws) -> Tensor:
        """The loss of a batch, a scalar; of several processes each has its part's, and their mean is the batch's.

        Args:
            diffusion: the model.
            batch: all of it.
            draws: for all of its points: they decide upon steps, noise, and what is not told.
        """
        probabilities = self._law if self.importance is None else self.importance.probabilities()
        t, noise = draws.timesteps(diffusion.schedule.num_step), draws.noise.to(batch.points)
        if probabilities is not None:
            t = timesteps_by_law(probabilities, draws.level)
        dropped = None if batch.condition is None else draws.told < self.dropout
        options: dict[str, Any] = {"condition": batch.condition, "dropped": dropped}
        options |= {"stable": self.stable, "widening": self.widening}
        whole = self.ranks.count == 1
        if whole and not self.jumps and self.importance is None and self.weighting == SIMPLE:
            return diffusion.loss(batch.points, t, noise, **options)
        part = WHOLE if whole else self.ranks.part(len(t))
        if self.jumps:
            ends = ends_of_jumps(t, draws.end, draws.interval)
            errors = self._mean_flow_errors(diffusion, batch.points, t, ends, noise, part, options)
            errors = errors * adaptive_weights(errors)
        else:
            errors = diffusion.squared_errors(batch.points, t, noise, part, **options)
        own = t[part]
        if self.weighting != SIMPLE:
            alpha, sigma = diffusion.schedule.levels(own, batch.points)
            errors = errors * output_weights(self.weighting, diffusion.prediction, alpha, sigma, self._sigma_data)
        if self.importance is not None and probabilities is not None:
            self.importance.note(own, errors.detach(), self.ranks.add)
            errors = errors * self.importance.weights(own, probabilities)
        return errors.mean() if whole else errors.sum() * (self.ranks.count / len(t))

    def _mean_flow_errors(
        self,
        diffusion: Diffusion,
        points: Tensor,
        t: Tensor,
        ends: Tensor,
        noise: Tensor,
        part: slice,
        options: dict[str, Any],
    ) -> Tensor:
        example = training_example(diffusion.schedule, diffusion.prediction, points, t, noise, **options)
        x, told, velocity = example.of(part)
        network = cast(AverageVelocity, diffusion.network)
        return mean_flow_errors(network, diffusion.schedule, x, velocity, t[part], ends[part], told)
