"""What limits a run's samples: each figure split into what the sampler, the data and the network add to it."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from point_diffusion.common.console import progress
from point_diffusion.common.errors import UsageError
from point_diffusion.common.seeds import derive_seed, generator
from point_diffusion.data.source import PointSet
from point_diffusion.data.truth import Truth, UnknownError, truth_of
from point_diffusion.density import flow_sampler, log_density, sample_with_density
from point_diffusion.metrics import Estimate, budget, quality, reverse_kl, tail_excess, truth_size
from point_diffusion.metrics.energy_split import energy_split, worth
from point_diffusion.overfit import excess
from point_diffusion.runs.densities import MOST_DENSITIES, affordable, folded_at, outside_at
from point_diffusion.runs.run import Run

if TYPE_CHECKING:
    from point_diffusion.data.source import Source
    from point_diffusion.diffusion import Diffusion
    from point_diffusion.samplers import Sampler

INVERTED = 1_500  # of these, at which that of the exact denoiser is: it takes ten times as long
TAIL_PART = 0.05  # of the points: where the truth is least dense, all are among these
LEAST_TRUTH, MOST_TRUTH = 20_000, 200_000  # points of the truth, from which the training set is told
MOST_STEPS = 100  # of a sampler that stands for one without an error of its own
ERRORS = 4_000  # of the network, at each step, on training points and on fresh ones
ENERGY, KL, TAIL = "energy_distance", "reverse_kl", "tail_surplus"


def drawn(run: Run, given: PointSet, seed: int, sampler: "Sampler", name: str) -> PointSet:
    """Samples under given conditions, as many as these.

    Raises:
        UsageError: they are non-finite.
    """
    points = run.diffusion.sample(len(given.points), seed, sampler, run.encoded(given))
    if not points.isfinite().all():
        raise UsageError(f"run={run.path}: its samples by {name} are non-finite; has it diverged?")
    return given._replace(points=points.numpy())


def split(
    run: Run, source: "Source", sampler: "Sampler", name: str, num_samples: int, seed: int
) -> list[dict[str, Any]]:
    """The parts of a run's squared energy distance, of KL(model || truth) and of its surplus of strays.

    Args:
        run: the run.
        source: of its points.
        sampler: how to sample.
        name: its name.
        num_samples: points drawn of the model, and as many of the exact denoiser.
        seed: of their noise.

    Returns:
        First the figures as measured apart from the parts, with other noise and other points of the truth, whose
        ``what`` is ``whole``. With them ``draw`` and ``followed``, see
        :class:`point_diffusion.metrics.energy_split.EnergySplit`; ``verdicts``, what limits by each figure; and
        ``remarks``, a line for all that can't be given. Then a row for each part and each pair of parts, and the
        ``sum``. A figure is an :class:`point_diffusion.metrics.Estimate`.

    Raises:
        UsageError: the samples are non-finite.
    """
    work = _Work(run, source, sampler, name, num_samples, seed)
    for step in progress(work.steps(), "Splitting"):
        step()
    return work.rows()


class _Flow(NamedTuple):
    """Points that a flow draws, its log density and the truth's there; and why there is none, if so."""

    points: torch.Tensor
    log_density: np.ndarray
    log_truth: np.ndarray
    problem: str

    @property
    def ratio(self) -> np.ndarray:
        return self.log_density - self.log_truth


class _Work:
    """The figures of :func:`split`, one after the other."""

    def __init__(
        self, run: Run, source: "Source", sampler: "Sampler", name: str, num_samples: int, seed: int
    ) -> None:
        self._run, self._source, self._sampler, self._name = run, source, sampler, name
        self._num, self._seed = num_samples, seed
        self._remarks: list[str] = []
        self._whole: dict[str, Any] = {"what": "whole"}
        self._splits: dict[str, budget.Split] = {}
        if sampler.guidance != 1:
            self._remarks.append(
                f"guidance={sampler.guidance:g} draws other points than the truth's, on purpose, which counts as"
                " the sampler's and the network's: what limits the model is told with sampler.guidance=1"
            )
        self._truth: Truth | None = None
        self._exact: Diffusion | None = None
        try:
            self._truth = truth_of(source, run.points)
            self._exact = run.diffusion.with_denoiser(self._truth.denoiser(run.schedule))
        except UnknownError as error:
            self._remarks.append(
                f"the sampler's part and the network's are not told apart, nor others split: {error}"
            )

    def steps(self) -> list[Callable[[], None]]:
        """What there is to do."""
        of_densities = [] if self._truth is None else [self._tails, self._divergence]
        return [self._samples, self._energy, self._apart, *of_densities]

    def rows(self) -> list[dict[str, Any]]:
        """See :func:`split`."""
        rows: dict[str, dict[str, Any]] = {}
        for figure, split in self._splits.items():
            for name, part in [*split.parts.items(), *split.cross.items(), ("sum", split.total)]:
                rows.setdefault(name, {"what": name})[figure] = part
        for name in [*self._energy_split.parts, "sum"]:
            if (part := rows[name][ENERGY]).high > 0:
                rows[name]["equivalent_sample_size"] = worth(part, self._energy_split.spread)
        judged = dict(self._splits)
        if KL in judged and self._sampler.stochastic:
            judged[KL] = judged[KL].of_flow()
        self._whole |= {"draw": self._energy_split.draw, "followed": self._energy_split.followed}
        self._whole["verdicts"] = budget.verdicts(judged, TAIL, KL)
        total = rows.pop("sum")
        return [{**self._whole, "remarks": self._remarks}, *rows.values(), total]

    def _samples(self) -> None:
        """Those of the model, and of the exact denoiser by the same noise."""
        self._given = self._conditions(self._num, "budget")
        self._model = drawn(self._run, self._given, self._seed, self._sampler, self._name)
        self._oracle = None if self._exact is None else self._of_exact(self._exact, self._sampler)
        count = max(4 * self._num, min(20 * self._source.num_points, MOST_TRUTH), LEAST_TRUTH)
        self._fresh = self._source.fresh(count, f"budget {self._seed}")

    def _of_exact(self, exact: "Diffusion", sampler: "Sampler") -> PointSet:
        points = exact.sample(self._num, self._seed, sampler, self._run.encoded(self._given))
        return self._given._replace(points=points.numpy())

    def _energy(self) -> None:
        sets = (self._model, self._fresh, self._source.train, *([self._oracle] if self._oracle else []))
        self._energy_split = energy_split(*(self._source.comparable(each.points) for each in sets))
        self._splits[ENERGY] = self._energy_split

    def _apart(self) -> None:
        """The whole energy distance, from other noise and other points of the truth."""
        given, seed = self._conditions(self._num, "budget apart"), derive_seed(self._seed, "budget apart")
        self._other = drawn(self._run, given, seed, self._sampler, self._name)
        truth = self._source.fresh(truth_size(self._num, self._source.num_points), f"budget apart {self._seed}")
        points, reference = (self._source.comparable(each.points) for each in (self._other, truth))
        distance, size = quality(points, reference)
        spread = self._energy_split.spread
        # without bias the distance may come out below 0, where the interval of what samples are worth ends
        self._whole[ENERGY] = Estimate(distance, min(distance, spread / size.high), spread / size.low)
        self._whole["equivalent_sample_size"] = size

    def _tails(self) -> None:
        log_of_fresh = self._log_truth(self._fresh)
        self._whole[TAIL] = budget.surplus(tail_excess(self._log_truth(self._other), log_of_fresh))
        if self._oracle is None or self._exact is None:
            return
        fine = None
        most = min(MOST_STEPS, self._run.schedule.num_step)
        if len(self._sampler.steps(self._run.schedule)) < most:
            finer = replace(self._sampler, num_inference_steps=most)
            model = drawn(self._run, self._given, self._seed, finer, self._name)
            fine = self._log_truth(model), self._log_truth(self._of_exact(self._exact, finer))
        logs = self._log_truth(self._model), self._log_truth(self._oracle)
        self._splits[TAIL] = budget.tail_split(logs, log_of_fresh, fine)

    def _divergence(self) -> None:
        """KL(model || truth) of the sampler, or where that draws noise of the model's probability flow."""
        try:
            sampler = flow_sampler(self._run.diffusion, self._sampler)
        except ValueError as error:
            self._remarks.append(f"no KL: {error}")
            return
        count = affordable(min(self._num, MOST_DENSITIES), self._source.dim)
        of_model = self._run.diffusion
        apart = self._flow(of_model, self._conditions(count, "divergence apart"), "divergence apart", sampler)
        if apart.problem:
            self._remarks.append(f"no KL: {apart.problem}")
            return
        self._whole[KL] = reverse_kl(apart.log_density, apart.log_truth)
        if self._sampler.stochastic:
            steps = f"ddim in {len(sampler.steps(self._run.schedule))} steps"
            self._remarks.append(f"the KL is that of {steps}: {self._name} draws noise, and has no density")
        if self._exact is not None:
            self._split_divergence(self._exact, self._conditions(count, "divergence"), sampler)

    def _split_divergence(self, exact: "Diffusion", given: PointSet, sampler: "Sampler") -> None:
        model, oracle = (self._flow(each, given, "divergence", sampler) for each in (self._run.diffusion, exact))
        if problem := model.problem or oracle.problem:
            self._remarks.append(f"the KL is not split: {problem}")
            return
        count = len(given.points)
        stratum, chosen = budget.strata(model.log_truth, min(count, INVERTED), round(TAIL_PART * count))
        condition = self._run.encoded(given)
        found = log_density(exact, model.points[chosen], sampler, None if condition is None else condition[chosen])
        known = (~found.folded & found.log_density.isfinite()).numpy()
        crossed = np.full(count, np.nan)
        crossed[chosen[known]] = (found.log_density.numpy() - model.log_truth[chosen])[known]
        try:
            divided = budget.kl_split(model.ratio, oracle.ratio, crossed, stratum)
        except ValueError as error:
            self._remarks.append(f"the KL is not split: {error}")
            return
        self._splits[KL] = budget.with_draw(divided, self._share_of_draw(exact))
        if lost := np.count_nonzero(~known):
            where = f"at {lost} of the {len(chosen):,} samples by which the KL is split"
            self._remarks.append(
                f"{where} the exact denoiser's density is not found; they count as others like them"
            )

    def _share_of_draw(self, exact: "Diffusion") -> Estimate:
        """How much of the network's error is due to its training points."""
        errors = []
        for purpose, given in (("fresh", self._fresh), ("train", self._source.train)):
            x_0 = self._run.diffusion.scaling.to_network(torch.from_numpy(given.points)).float()
            random = generator("budget", self._seed, purpose)
            denoisers = self._run.diffusion.denoiser, exact.denoiser
            errors.append(excess(*denoisers, x_0, min(ERRORS, self._num), random, self._run.encoded(given)))
        return budget.share_of_draw(errors[0].known, errors[1].seen)

    def _flow(self, diffusion: "Diffusion", given: PointSet, purpose: str, sampler: "Sampler") -> _Flow:
        seed, condition = derive_seed(self._seed, purpose), self._run.encoded(given)
        found = sample_with_density(diffusion, len(given.points), seed, sampler, condition)
        what = "the samples" if diffusion is self._run.diffusion else "the exact denoiser's samples"
        if not found.points.isfinite().all():
            nothing = np.empty(0)
            return _Flow(found.points, nothing, nothing, f"{what} by {type(sampler).__name__} are non-finite")
        log_truth = self._log_truth(given._replace(points=found.points.numpy()))
        problem = folded_at(found.folded, what) or outside_at(torch.from_numpy(log_truth), what)
        return _Flow(found.points, found.log_density.numpy(), log_truth, problem)

    def _conditions(self, count: int, purpose: str) -> PointSet:
        """What points are conditioned on: as in the truth where that is known, as there is an error of the draw in
        what the training points are conditioned on.
        """
        if self._source.unlimited:
            return self._source.fresh(count, f"{purpose} {self._seed} conditions")
        seed = derive_seed(self._seed, purpose)
        return self._run.points.conditions(count, seed=seed, train=self._source.train)

    def _log_truth(self, given: PointSet) -> np.ndarray:
        assert self._truth is not None
        return self._truth.log_density_of(given)
