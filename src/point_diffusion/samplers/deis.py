"""DEIS: epsilon extrapolated over the log-SNR."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from point_diffusion.reverse import State
from point_diffusion.samplers.polynomial import Multistep, coefficients, moments
from point_diffusion.schedule import CLEAN, NoiseLevel


@dataclass(frozen=True)
class DEIS(Multistep):
    r"""The exponential integrator with several steps of Zhang & Chen 2023 (tAB-DEIS, eq. 14), its polynomial in
    log(sigma / alpha). It is deterministic; order 1 is DDIM.

    .. math::
        \frac{x_s}{\alpha_s} = \frac{x_t}{\alpha_t} + \int_{\rho_t}^{\rho_s} \hat\epsilon(\log \rho) \, d\rho,
        \quad \rho = \sigma / \alpha

    Args:
        num_inference_steps, timesteps, start, guidance: see :class:`point_diffusion.reverse.Sampler`.
        order: 1 to 3; the first steps are of lower order.
    """

    order: int = 3

    def step(
        self, now: State, to: NoiseLevel, history: Sequence[State], draw_noise: Callable[[], Tensor]
    ) -> Tensor:
        if to is CLEAN:
            return now.x_0
        h = to.half_log_snr - now.level.half_log_snr
        epsilon = coefficients(lambda state: state.epsilon, now, history, h, self.order)
        x = to.alpha / now.level.alpha * now.x
        # rho falls as e^(-h u): with -h in the place of g, and e^(-h) before it, the moments are those of x_0
        for each, moment in zip(epsilon, moments(-h, len(epsilon)), strict=True):
            x = x + to.sigma * moment * each
        return x
