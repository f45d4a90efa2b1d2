"""Two moons of simulation-based inference: parameters, what a simulator makes of them, the exact posterior."""

import math
from dataclasses import dataclass

import numpy as np

from point_diffusion.data.shapes.base import Drawn, Shape, check_length

RADIUS = 0.1  # of a moon
CENTER = 0.25  # of a moon, from the middle of the two


@dataclass(frozen=True)
class TwoMoons(Shape):
    r"""Parameters, uniform on [-1, 1]², and an observation of each (Lueckmann et al. 2021, appendix T.8).

    .. math::
        x_1 = r \cos a + 1/4 - |\theta_1 + \theta_2| / \sqrt 2, \quad
        x_2 = r \sin a + (\theta_2 - \theta_1) / \sqrt 2

    with a uniform on [-pi/2, pi/2] and r ~ N(0.1, noise²). What an observation says of the parameters, conditioned
    on the columns x_1 and x_2, is two crescents.

    Args:
        noise: standard deviation of r.
    """

    noise: float = 0.01

    def __post_init__(self) -> None:
        check_length("noise", self.noise)

    @property
    def columns(self) -> tuple[str, ...]:
        """See :attr:`Shape.columns`."""
        return ("theta_1", "theta_2", "x_1", "x_2")

    def draw(self, num_points: int, seed: int) -> Drawn:
        """See :meth:`Shape.draw`."""
        random = np.random.default_rng(seed)
        theta = random.uniform(-1, 1, (num_points, 2))
        return Drawn(np.hstack([theta, self.simulate(theta, random)]).astype(np.float32))

    def simulate(self, theta: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """An observation for each of the parameters; both of shape (n, 2), float64."""
        turned = _turned(theta)
        return self._crescent(len(theta), random) + np.stack([-np.abs(turned[:, 0]), turned[:, 1]], axis=1)

    def posterior(self, x: np.ndarray, num_samples: int, seed: int) -> np.ndarray:
        """Exact draws of the parameters, given one observation.

        A flat prior leaves of the simulator a shift: a draw of its noise says which parameters explain the
        observation, up to a sign. Those outside of the prior are drawn anew.

        Args:
            x: shape (2,).
            num_samples: how many.
            seed: of the draws.

        Returns:
            Shape (num_samples, 2), float64.

        Raises:
            ValueError: no parameters explain the observation.
        """
        random = np.random.default_rng(seed)
        kept: list[np.ndarray] = []
        tries = 0
        while sum(map(len, kept)) < num_samples:
            turned = (self._crescent(num_samples, random) - x) * [1, -1]
            sign = random.choice([-1, 1], num_samples)
            theta = _turned(turned * np.stack([sign, np.ones_like(sign)], axis=1), back=True)
            kept.append(theta[(turned[:, 0] >= 0) & (np.abs(theta) <= 1).all(axis=1)])
            tries += 1
            if tries >= 1000 and not any(map(len, kept)):
                raise ValueError(f"x={np.asarray(x).tolist()}: no parameters explain it")
        return np.concatenate(kept)[:num_samples]

    def log_likelihood(self, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Logarithm of p(x | theta), in nats.

        Args:
            x: shape (2,) or (n, 2).
            theta: shape (n, 2).

        Returns:
            Shape (n,), -inf where the density is 0.
        """
        turned = _turned(np.asarray(theta, np.float64))
        side, up = (np.asarray(x) - np.stack([CENTER - np.abs(turned[:, 0]), turned[:, 1]], axis=1)).T
        r = np.hypot(side, up)
        found = np.full(len(turned), -np.inf)
        for sign in (1, -1):  # a negative r lies on the other side
            on = (sign * side > 0) & (r > 0)
            normal = -0.5 * ((sign * r[on] - RADIUS) / self.noise) ** 2 - math.log(self.noise)
            found[on] = normal - 0.5 * math.log(2 * math.pi) - math.log(math.pi) - np.log(r[on])
        return found

    def log_density(self, points: np.ndarray, label: int | None = None) -> np.ndarray:
        """See :meth:`Shape.log_density`."""
        self._check_label(label)
        theta, x = np.hsplit(np.asarray(points, np.float64), 2)
        inside = (np.abs(theta) <= 1).all(axis=1)
        return np.where(inside, self.log_likelihood(x, theta) - math.log(4), -np.inf)

    def _crescent(self, num_points: int, random: np.random.Generator) -> np.ndarray:
        """The simulator's noise, about one center: shape (num_points, 2)."""
        angle = random.uniform(-math.pi / 2, math.pi / 2, num_points)
        r = random.normal(RADIUS, self.noise, num_points)
        return np.stack([CENTER + r * np.cos(angle), r * np.sin(angle)], axis=1)


def _turned(points: np.ndarray, back: bool = False) -> np.ndarray:
    """((p_1 + p_2), (p_2 - p_1)) / sqrt 2: a turn by 45 degrees; or back."""
    first, second = points.T
    other = (first - second, first + second) if back else (first + second, second - first)
    return np.stack(other, axis=1) / math.sqrt(2)
