"""UniPC: a predictor, and a corrector that costs no call."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from point_diffusion.reverse import State
from point_diffusion.samplers.polynomial import Multistep
from point_diffusion.schedule import CLEAN, NoiseLevel


@dataclass(frozen=True)
class UniPC(Multistep):
    r"""UniPC of x_0, B_2(h) = e^h - 1 (Zhao et al. 2023, algorithms 5 to 8).

    The predictor UniP goes to the next level; once the denoiser has been asked there, the corrector UniC goes
    there again with its answer, one order higher, before the next step. Both are

    .. math::
        \frac{x_s}{\alpha_s} = \frac{\sigma_s}{\sigma_t \alpha_s} x_t + (1 - e^{-h}) \left( x_0^t
        + \sum_m \frac{a_m}{r_m} (x_0^m - x_0^t) \right)

    over the states m before this one, at r_m h from it in log-SNR, and for the corrector the one reached, r = 1.
    The weights a solve a Vandermonde system; with one state it is a = 1/2.

    Args:
        num_inference_steps, timesteps, start, guidance: see :class:`point_diffusion.reverse.Sampler`.
        order: 1 to 3, of the predictor; the first steps are of lower order.
    """

    def step(
        self, now: State, to: NoiseLevel, history: Sequence[State], draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        if to is CLEAN:
            return now.x_0
        return _go(now, to, history[: self.order - 1])

    def corrected(self, now: State, history: Sequence[State]) -> Tensor:
        if not history:
            return now.x
        return _go(history[0], now.level, history[1 : self.order], reached=now)


def _go(start: State, to: NoiseLevel, before: Sequence[State], reached: State | None = None) -> Tensor:
    """From a state to a level, with those before it and, of a corrector, with what was said there."""
    h = to.half_log_snr - start.level.half_log_snr
    others = list(before) if reached is None else [*before, reached]
    r = [(state.level.half_log_snr - start.level.half_log_snr) / h for state in others]
    mean = start.x_0
    for weight, ratio, state in zip(_weights(h, r), r, others, strict=True):
        mean = mean + weight / ratio * (state.x_0 - start.x_0)
    return to.sigma / start.level.sigma * start.x - to.alpha * math.expm1(-h) * mean


def _weights(h: float, r: list[float]) -> list[float]:
    """The weights a of the states at ``r``: see :class:`UniPC`."""
    if len(r) <= 1:
        return [0.5] * len(r)  # their choice, exact in the limit
    scale = math.expm1(-h)
    phi, wanted = scale / -h - 1, []
    for n in range(1, len(r) + 1):
        wanted.append(phi * math.factorial(n) / scale)
        phi = phi / -h - 1 / math.factorial(n + 1)
    rows = torch.tensor([[each**n for each in r] for n in range(len(r))], dtype=torch.float64)
    return torch.linalg.solve(rows, torch.tensor(wanted, dtype=torch.float64)).tolist()
