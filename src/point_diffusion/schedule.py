r"""The forward process: how much signal and how much noise there is at each step.

.. math::
    q(x_t \mid x_0) = N(\sqrt{\bar\alpha_t} \, x_0, (1 - \bar\alpha_t) I),
    \qquad \bar\alpha_t = \prod_{s \le t} (1 - \beta_s)

(Ho et al. 2020, eq. 4). As in their code and in diffusers, ``t`` counts from 0: ``t = 0`` has been noised once and
``t = num_step - 1``, the paper's x_T, by all of the betas.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from point_diffusion.registry import BETAS


class NoiseLevel(NamedTuple):
    """One noise level: x = alpha x_0 + sigma epsilon, with alpha^2 + sigma^2 = 1.

    This alpha is sqrt(alphas_cumprod), as in Kingma et al. 2021 and Lu et al. 2022; DDPM's alphas are 1 - betas.
    """

    alpha: float
    sigma: float

    @property
    def half_log_snr(self) -> float:
        """log(alpha / sigma), half the logarithm of the signal-to-noise ratio (lambda in Lu et al. 2022)."""
        return math.log(self.alpha / self.sigma)

    @property
    def noise_share(self) -> float:
        """S of the straight path (1 - s) x_0 + s epsilon that has this signal-to-noise ratio."""
        return self.sigma / (self.alpha + self.sigma)

    def moments(self, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean, shape (dim,), and covariance, shape (dim, dim), of x for data of these; float64, on the CPU."""
        noise = self.sigma**2 * torch.eye(len(mean), dtype=torch.float64)
        return self.alpha * mean.double().cpu(), self.alpha**2 * covariance.double().cpu() + noise


CLEAN = NoiseLevel(alpha=1.0, sigma=0.0)


class NoiseSchedule(nn.Module):
    """The numbers that follow from the betas.

    Args:
        betas: shape (T,), the variance of the noise that each step adds; each in (0, 1).

    Attributes:
        betas, alphas, alphas_cumprod: shape (T,), float32, computed in float64 and then cast.
        sqrt_alphas_cumprod, sqrt_one_minus_alphas_cumprod: likewise; alpha and sigma of x_t.

    Raises:
        ValueError: betas is not one row of numbers in (0, 1).
    """

    betas: Tensor
    alphas: Tensor
    alphas_cumprod: Tensor
    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor

    def __init__(self, betas: Tensor | Sequence[float]) -> None:
        super().__init__()
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) == 0:
            raise ValueError(f"betas: one row of at least one number is needed, not shape {tuple(betas.shape)}")
        if not ((betas > 0) & (betas < 1)).all():
            wrong = betas[~((betas > 0) & (betas < 1))][0].item()
            raise ValueError(f"betas: each must be above 0 and below 1, not {wrong:g}")
        self._set_log_alphas(torch.log1p(-betas))

    def _set_log_alphas(self, log_alphas: Tensor) -> None:
        log_alphas_cumprod = log_alphas.cumsum(0)
        # float64 and on the CPU for good: the samplers' coefficients come from these
        self._log_alphas = log_alphas
        self._alpha = torch.exp(0.5 * log_alphas_cumprod)
        self._sigma = torch.sqrt(-torch.expm1(log_alphas_cumprod))
        self.register_buffer("betas", -torch.expm1(log_alphas).float())
        self.register_buffer("alphas", log_alphas.exp().float())
        self.register_buffer("alphas_cumprod", log_alphas_cumprod.exp().float())
        self.register_buffer("sqrt_alphas_cumprod", self._alpha.float())
        self.register_buffer("sqrt_one_minus_alphas_cumprod", self._sigma.float())

    def rescaled(self, alphas_cumprod_end: float) -> "NoiseSchedule":
        """The schedule with each log(1 - beta) times one constant, so that alpha-bar at the last step is as asked.

        The same end at every number of steps: what a sweep over ``num_step`` then changes is the resolution alone.

        Args:
            alphas_cumprod_end: in (0, 1).

        Raises:
            ValueError: it is not.
        """
        if not 0 < alphas_cumprod_end < 1:
            raise ValueError(f"alphas_cumprod_end={alphas_cumprod_end:g}: must be above 0 and below 1")
        # betas themselves can't say it: near 1 they are all rounding
        other = copy.deepcopy(self)
        other._set_log_alphas(self._log_alphas * (math.log(alphas_cumprod_end) / self._log_alphas.sum()))
        return other

    @property
    def num_step(self) -> int:
        """T, the number of steps."""
        return len(self.betas)

    @property
    def half_log_snr(self) -> Tensor:
        """log(alpha / sigma) at each step (see :class:`NoiseLevel`); shape (T,), float64, on the CPU."""
        return self._alpha.log() - self._sigma.log()

    @property
    def last_level(self) -> NoiseLevel:
        """The level of x_T."""
        return self.level(self.num_step - 1)

    def level(self, t: int) -> NoiseLevel:
        """The noise level at step ``t`` (0 ... T - 1), in float64; t = -1 is the clean data."""
        return CLEAN if t < 0 else NoiseLevel(self._alpha[t].item(), self._sigma[t].item())

    def levels(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and sigma at many steps, to be multiplied with points.

        Args:
            t: shape (B,) or (1,), int64, in [0, T).
            like: shape (B, ...), the points; float64 points get float64 numbers.

        Returns:
            Two tensors of shape (B, 1, ...) or (1, 1, ...), of the dtype and device of ``like``.
        """
        shape = (-1,) + (1,) * (like.ndim - 1)
        if like.dtype == torch.float64:
            alpha, sigma = self._alpha.to(like.device), self._sigma.to(like.device)
        else:
            alpha, sigma = self.sqrt_alphas_cumprod, self.sqrt_one_minus_alphas_cumprod
        return alpha[t].view(shape).to(like.dtype), sigma[t].view(shape).to(like.dtype)

    def add_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t in closed form (Ho et al. 2020, eq. 4).

        Args:
            x_0: shape (B, ...), clean points.
            noise: the same shape, standard normal.
            t: shape (B,) or (1,), int64, in [0, T).

        Raises:
            ValueError: ``noise`` or ``t`` is of another shape.
        """
        check_shapes(x_0, noise, t)
        alpha, sigma = self.levels(t, x_0)
        return alpha * x_0 + sigma * noise


def check_shapes(x_0: Tensor, noise: Tensor, t: Tensor) -> None:
    """Raise ValueError unless there is a noise and a step for each point: torch would repeat what is missing."""
    if noise.shape != x_0.shape:
        raise ValueError(f"noise: must be of shape {tuple(x_0.shape)}, as x_0, not {tuple(noise.shape)}")
    check_steps(x_0, t)


def check_steps(x: Tensor, t: Tensor) -> None:
    """Raise ValueError unless there is one step for each point, or for all."""
    # shape[0], not len(): an export with any number of points can't see through that
    if t.ndim != 1 or (t.shape[0] != x.shape[0] and t.shape[0] != 1):
        raise ValueError(f"t: must be of shape ({x.shape[0]},), one for each point, or (1,), not {tuple(t.shape)}")


def prior_kl(level: NoiseLevel, mean: Tensor, covariance: Tensor) -> float:
    r"""How far q(x_T) is from the N(0, I) that sampling starts from, for data of this mean and covariance.

    .. math::
        KL(N(\mu, \Sigma) \,\|\, N(0, I)) = (tr \Sigma + |\mu|^2 - d - \log \det \Sigma) / 2,
        \quad \mu = \sqrt{\bar\alpha_T} \, m, \; \Sigma = \bar\alpha_T C + (1 - \bar\alpha_T) I

    Args:
        level: of x_T.
        mean: shape (dim,), m, of the data as the network sees it.
        covariance: shape (dim, dim), C, likewise.

    Returns:
        The divergence in nats; x_T is taken as a Gaussian, which it is but for what is left of the data.
    """
    mean, covariance = level.moments(mean, covariance)
    trace, log_det = covariance.trace(), torch.linalg.slogdet(covariance).logabsdet
    return max(0.0, 0.5 * (trace + mean.square().sum() - len(mean) - log_det).item())


def build_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule of a config's ``schedule`` section: ``name`` picks the betas, the rest shapes them.

    Raises:
        ValueError: the numbers give a beta outside (0, 1), or not ``num_step`` of them.
    """
    options = dict(config)
    name, alphas_cumprod_end = options.pop("name"), options.pop("alphas_cumprod_end", None)
    schedule = NoiseSchedule(BETAS[name](**options))
    return schedule if alphas_cumprod_end is None else schedule.rescaled(alphas_cumprod_end)
