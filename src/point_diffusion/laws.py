r"""Laws of points by their structure: mixtures of Gaussians, blurred boxes, and products of these.

Points x of such a law are seen through Gaussian noise,

.. math:: y_i = x_i + n_i e_i, \qquad e \sim N(0, I),

with a standard deviation n_i for each coordinate. What is a mixture or a product keeps that form under noise, so
the density of y and the mean E[x | y] follow in closed form. A coordinate that is not seen is NaN; one whose n_i
is 0 is known. All is computed in float64, and can be differentiated with respect to y.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from point_diffusion.common.workers import in_order
from point_diffusion.intervals import blurred
from point_diffusion.precision import float64

BLOCK = 2**17  # numbers at a time, (points, parts): what a processor keeps close
LOWEST = -1e300  # of a logarithm that others are compared with


class Posterior(NamedTuple):
    """What is known of x from y: E[x | y], shape (B, dim), and log p(y) in nats, shape (B,); float64."""

    mean: Tensor
    log_density: Tensor


class Law(ABC):
    """A distribution of points whose density is known, with noise and without."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of the points."""

    @abstractmethod
    def posterior(self, y: Tensor, noise: Tensor, label: Tensor | None = None) -> Posterior:
        """The mean of x where y is seen, and the density of y.

        Args:
            y: shape (B, dim), NaN where a coordinate is not seen.
            noise: shape (dim,), standard deviations n of what was added to x.
            label: shape (B,), int64, the class that each x belongs to; -1 where that is not known, None for all.

        Returns:
            Both on the device of ``y``, where that has float64; the mean is NaN where the density is 0.

        Raises:
            ValueError: there is no density, or there are no classes.
        """

    def log_evidence(self, y: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """The density of y alone: log p(y) in nats, shape (B,), float64; arguments as for :meth:`posterior`."""
        return self.posterior(y, noise, label).log_density

    def log_density(self, points: Tensor, label: int | None = None) -> Tensor:
        """The logarithm of the density without noise.

        Args:
            points: shape (n, dim), NaN where a coordinate is left out: then that of the others.
            label: of the parts of this label alone, whose weights then sum to 1; None means of all.

        Returns:
            Shape (n,), in nats, float64; -inf where the density is 0.

        Raises:
            ValueError: there is no density, or no part of this label.
        """
        points = float64(torch.as_tensor(points))
        labels = None if label is None else torch.full((len(points),), label, device=points.device)
        return self.log_evidence(points, points.new_zeros(self.dim), labels)


class _Block(NamedTuple):
    """Some points: y, 0 where it is not ``seen``, which is 1 or 0 for each coordinate; and their labels."""

    y: Tensor
    seen: Tensor
    label: Tensor | None


class Parts(Law):
    """Parts of which each has independent coordinates.

    Attributes:
        weights: shape (K,), probabilities, each above 0.
        labels: shape (K,), int64, the class that each belongs to; None where there are no classes.
    """

    weights: Tensor
    labels: Tensor | None

    @abstractmethod
    def _log_terms(self, y: Tensor, seen: Tensor, noise: Tensor) -> Tensor:
        """Log p(y | part), (B, K); ``y`` is 0 where it is not ``seen``, which is 1 or 0 for each coordinate."""

    @abstractmethod
    def _mean(self, share: Tensor, y: Tensor, seen: Tensor, noise: Tensor) -> Tensor:
        """E[x | y] from the probability of each part, (B, K)."""

    def posterior(self, y: Tensor, noise: Tensor, label: Tensor | None = None) -> Posterior:
        def of_block(block: _Block) -> tuple[Tensor, Tensor]:
            joint = self._joint(block, noise)
            # the largest of each point is 1
            top = joint.detach().amax(dim=1, keepdim=True).clamp(min=LOWEST)
            share = torch.exp(joint - top)
            total = share.sum(dim=1, keepdim=True)
            mean = self._mean(share / total, block.y, block.seen, noise.to(block.y))
            return mean, (total.log() + top)[:, 0]

        means, totals = zip(*in_order(of_block, self._blocks(y, label)), strict=True)
        return Posterior(torch.cat(means), torch.cat(totals))

    def log_evidence(self, y: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        def of_block(block: _Block) -> Tensor:
            return torch.logsumexp(self._joint(block, noise), dim=1)

        return torch.cat(list(in_order(of_block, self._blocks(y, label))))

    def log_density(self, points: Tensor, label: int | None = None) -> Tensor:
        _check_label(self.labels, label)
        return super().log_density(points, label)

    def _blocks(self, y: Tensor, label: Tensor | None) -> Iterator[_Block]:
        y = float64(y)
        rows = max(1, BLOCK // len(self.weights))
        # points without labels end first
        for some, which in zip(y.split(rows), repeat(None) if label is None else label.split(rows), strict=False):
            seen = (~some.isnan()).to(y)
            yield _Block(some.nan_to_num(0.0, math.inf, -math.inf), seen, which)

    def _joint(self, block: _Block, noise: Tensor) -> Tensor:
        """Log p(y, part), shape (., K)."""
        log_terms = self._log_terms(block.y, block.seen, noise.to(block.y))
        return log_terms + self._log_weights(block.label, block.y)

    def _log_weights(self, label: Tensor | None, like: Tensor) -> Tensor:
        """Shape (1, K), or (B, K) where there are labels."""
        log_weights = torch.log_softmax(self.weights.to(like).log(), dim=0)[None]
        if label is None:
            return log_weights
        if self.labels is None:
            raise ValueError("label: there are no classes")
        label = label.to(like.device)[:, None]
        other = (label != self.labels.to(like.device)) & (label >= 0)
        return torch.log_softmax(log_weights.expand(len(label), -1).masked_fill(other, -math.inf), dim=1)


@dataclass(frozen=True, eq=False)
class GaussianMixture(Parts):
    """Isotropic Gaussians N(center_k, sigma^2 I) of one sigma; at sigma 0 points, which have no density.

    Log densities lose (distance between centers / standard deviation of y about them)^2 of float64's 1e-16.

    Args:
        centers: shape (K, dim), float64.
        sigma: standard deviation on each coordinate.
        weights: shape (K,), probabilities, each above 0.
        labels: shape (K,), int64, the class that each belongs to; None where there are no classes.
    """

    centers: Tensor
    sigma: float
    weights: Tensor
    labels: Tensor | None = None

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.centers.shape[1]

    def _log_terms(self, y: Tensor, seen: Tensor, noise: Tensor) -> Tensor:
        spread = torch.sqrt(self.sigma**2 + noise**2)
        if ((spread == 0) & (seen > 0).any(dim=0)).any():
            raise ValueError("sigma=0: points have no density")
        spread = torch.where(spread == 0, 1.0, spread)  # not seen
        # |y - c|^2 = |y|^2 - 2 y c + |c|^2 loses least about the middle
        middle = self.centers.mean(dim=0).to(y)
        centers = (self.centers.to(y) - middle) / spread
        y = (y - middle) / spread * seen
        of_y = y.square().sum(dim=1) / 2 + seen @ (spread.log() + math.log(2 * math.pi) / 2)
        squares = centers.square()
        of_centers = squares.sum(dim=1)[None] if bool(seen.all()) else seen @ squares.T
        return torch.addmm(-of_y[:, None] - of_centers / 2, y, centers.T)

    def _mean(self, share: Tensor, y: Tensor, seen: Tensor, noise: Tensor) -> Tensor:
        variance = noise**2 + self.sigma**2
        trust = seen * torch.where(variance > 0, self.sigma**2 / variance, 1.0)  # in y, of which the rest is noise
        return trust * y + (1 - trust) * (share @ self.centers.to(y))


@dataclass(frozen=True, eq=False)
class Boxes(Parts):
    """Uniform axis-parallel boxes, blurred by Gaussian noise N(0, sigma^2 I); at sigma 0 they are sharp.

    A box holds its lower faces and not its upper ones, so that boxes side by side do not overlap.

    Args:
        low, high: shape (K, dim), float64, the corners.
        sigma: standard deviation on each coordinate.
        weights: shape (K,), probabilities, each above 0.
        labels: shape (K,), int64, the class that each belongs to; None where there are no classes.
    """

    low: Tensor
    high: Tensor
    sigma: float
    weights: Tensor
    labels: Tensor | None = None

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return self.low.shape[1]

    @cached_property
    def _sides(self) -> list[tuple[Tensor, Tensor]]:
        """By coordinate the pairs of faces, (2, U), and which of them each box has: boxes may share theirs."""
        pairs = [torch.stack([self.low[:, i], self.high[:, i]]) for i in range(self.dim)]
        return [torch.unique(each, dim=1, return_inverse=True) for each in pairs]

    def _log_terms(self, y: Tensor, seen: Tensor, noise: Tensor) -> Tensor:
        total = y.new_zeros(len(y), len(self.weights))
        for i, (faces, which) in enumerate(self._sides):
            faces = faces.to(y)
            mass = blurred(faces, y[:, i, None], self.sigma, noise[i].item()).log_mass
            mass = mass - (faces[1] - faces[0]).log()
            total = total + torch.where(seen[:, i, None] > 0, mass, 0.0)[:, which.to(y.device)]
        return total

    def _mean(self, share: Tensor, y: Tensor, seen: Tensor, noise: Tensor) -> Tensor:
        means = []
        for i, (faces, which) in enumerate(self._sides):
            faces = faces.to(y)
            of_pair = share.new_zeros(len(y), faces.shape[1]).index_add(1, which.to(y.device), share)
            within = blurred(faces, y[:, i, None], self.sigma, noise[i].item()).mean
            within = torch.where(seen[:, i, None] > 0, within, faces.mean(dim=0))
            means.append((of_pair * within).sum(dim=1))
        return torch.stack(means, dim=1)


@dataclass(frozen=True, eq=False)
class Product(Law):
    """Independent groups of coordinates.

    Args:
        parts: the law of each group.
        axes: the coordinates of each group; together each coordinate once.
    """

    parts: tuple[Law, ...]
    axes: tuple[tuple[int, ...], ...]

    @property
    def dim(self) -> int:
        """Dimension of the points."""
        return sum(part.dim for part in self.parts)

    def posterior(self, y: Tensor, noise: Tensor, label: Tensor | None = None) -> Posterior:
        if label is not None:
            raise ValueError("label: there are no classes")
        y = float64(y)
        mean, total = torch.zeros_like(y), y.new_zeros(len(y))
        for part, axes in zip(self.parts, self.axes, strict=True):
            of_part = part.posterior(y[:, list(axes)], noise[list(axes)])
            mean = mean.index_copy(1, torch.tensor(axes, device=y.device), of_part.mean)
            total = total + of_part.log_density
        return Posterior(mean, total)

    def log_evidence(self, y: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        if label is not None:
            raise ValueError("label: there are no classes")
        terms = [
            part.log_evidence(y[:, list(axes)], noise[list(axes)])
            for part, axes in zip(self.parts, self.axes, strict=True)
        ]
        return torch.stack(terms).sum(dim=0)


def _check_label(labels: Tensor | None, label: int | None) -> None:
    """Raise ValueError unless there is a part of this label."""
    if label is None:
        return
    if labels is None:
        raise ValueError(f"label={label}: there are no classes")
    if not (labels == label).any():
        raise ValueError(f"label={label}: must be from {int(labels.min())} to {int(labels.max())}")
