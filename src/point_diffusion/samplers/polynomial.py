r"""What multistep solvers share: an order, and a polynomial through what denoisers have said, integrated exactly.

With lambda = log(alpha / sigma) and u from 0 at this level to 1 at the next, h above it in lambda, a denoiser's
answer is taken as :math:`d_0 + d_1 u + d_2 u^2` through those at this level and at the ones before (Newton's
divided differences). What a step then needs are the moments

.. math::
    I_n(g) = \int_0^1 g \, e^{-g (1 - u)} u^n \, du, \qquad I_0 = 1 - e^{-g}, \quad I_n = 1 - \frac{n}{g} I_{n-1}
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from point_diffusion.reverse import Sampler, State


@dataclass(frozen=True)
class Multistep(Sampler):
    """A sampler that looks back to the steps before; deterministic unless it says otherwise.

    Args:
        num_inference_steps, timesteps, start, guidance: see :class:`Sampler`.
        order: 1 to 3; the first steps, which have none before them, are of lower order.
    """

    spacing: ClassVar[str] = "log_snr"

    order: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in (1, 2, 3):
            raise ValueError(f"order={self.order}: must be 1, 2 or 3")

    @property
    def stochastic(self) -> bool:
        return False


def coefficients(
    of: Callable[[State], Tensor], now: State, history: Sequence[State], h: float, order: int
) -> list[Tensor]:
    """The polynomial's coefficients in u, of as high a degree below ``order`` as there are states for.

    Args:
        of: what of a state is interpolated: its x_0, or its epsilon.
        now: the state at u = 0.
        history: those before it, the newest first.
        h: lambda of the next level minus that of ``now``.
        order: from 1 to 3.
    """
    known = [now, *history][:order]
    nodes = [(state.level.half_log_snr - now.level.half_log_snr) / h for state in known]
    values = [of(state) for state in known]
    if len(known) == 1:
        return values
    first = (values[0] - values[1]) / -nodes[1]
    if len(known) == 2:
        return [values[0], first]
    second = (first - (values[1] - values[2]) / (nodes[1] - nodes[2])) / -nodes[2]
    # Newton's d_0 + first u + second u (u - u_1)
    return [values[0], first - nodes[1] * second, second]


def moments(g: float, count: int) -> list[float]:
    """I_0, I_1, ... of g, as many as asked for; each from a series where g is small and the recursion rounds."""
    found = [-math.expm1(-g)]
    for n in range(1, count):
        if abs(g) > 0.5:
            found.append(1 - n / g * found[-1])
        else:
            # integrated by parts: sum over k of (-1)^k g^(k + 1) n! / (n + k + 1)!
            term, total = g / (n + 1), 0.0
            for k in range(16):
                total += term
                term *= -g / (n + k + 2)
            found.append(total)
    return found
