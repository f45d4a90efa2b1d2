"""What a config chooses by name: shapes, betas, networks, prediction types, samplers, metrics.

The shipped ones stand here by name and are imported when they are used, so that names can be checked, listed and
explained without torch. What a file of the user's adds (``plugins=[mine.py]``) is chosen, listed and explained in
the same way::

    from point_diffusion.registry import NETWORKS

    NETWORKS["mine"] = MyNetwork
"""

from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """Names and what they stand for.

    Args:
        module: where the shipped ones are defined.
        **shipped: the names of attributes of that module, by the names that a config uses.
    """

    def __init__(self, module: str, **shipped: str) -> None:
        self._module = module
        self._shipped = frozenset(shipped)
        self._entries: dict[str, Any] = dict(shipped)  # a string: still to be imported

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise KeyError(f"{name}: must be one of {', '.join(self)}")
        entry = self._entries[name]
        return getattr(import_module(self._module), entry) if isinstance(entry, str) else entry

    def __setitem__(self, name: str, entry: T) -> None:
        if name in self._shipped:
            raise ValueError(f"{name}: is the name of a shipped one; choose another")
        self._entries[name] = entry

    @property
    def added(self) -> list[str]:
        """The names that are not shipped."""
        return [name for name in self._entries if name not in self._shipped]

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries  # without importing

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


# how points are scaled, see point_diffusion.scaling
SCALINGS = ("divide", "standardize", "whiten", "minmax", "quantile", "none")

OPTIMIZED = "optimized"  # what sampler.timesteps says of steps that a run has found for itself

FILE = "file"  # what data.shape says of points that are read from one

# subclasses of point_diffusion.data.shapes.Shape
SHAPES: Registry[Any] = Registry(
    "point_diffusion.data.shapes",
    s_curve="SCurve",
    moons="Moons",
    circles="Circles",
    swiss_roll="SwissRoll",
    spirals="Spirals",
    pinwheel="Pinwheel",
    checkerboard="Checkerboard",
    gaussians="Gaussians",
    gaussian_grid="GaussianGrid",
    rings="Rings",
    blobs="Blobs",
    s_curve_3d="SCurve3d",
    swiss_roll_3d="SwissRoll3d",
    two_moons="TwoMoons",
    image="Image",
)

# (num_step, ...) to a tensor of shape (num_step,), float64
BETAS: Registry[Callable[..., Any]] = Registry(
    "point_diffusion.betas",
    sigmoid="sigmoid_betas",
    linear="linear_betas",
    scaled_linear="scaled_linear_betas",
    cosine="cosine_betas",
    rectified="rectified_betas",
    karras="karras_betas",
    betas="explicit_betas",
)

# (num_step, dim, ...) to a torch.nn.Module
NETWORKS: Registry[Callable[..., Any]] = Registry(
    "point_diffusion.networks", mlp="MLPDiffusion", interval_mlp="IntervalMLP"
)

# subclasses of point_diffusion.prediction.PredictionType
PREDICTION_TYPES: Registry[Any] = Registry(
    "point_diffusion.prediction",
    epsilon="Epsilon",
    sample="Sample",
    v_prediction="VPrediction",
    flow="Flow",
    edm="EDM",
)

MEAN_FLOW = "mean_flow"  # what module.objective says of average velocities, see point_diffusion.mean_flow
# what is trained, see point_diffusion.training.objective
OBJECTIVES = ("denoising", MEAN_FLOW)
# how steps are drawn in training, see point_diffusion.timestep_sampling
TIMESTEP_SAMPLINGS = ("antithetic", "uniform", "logit_normal", "lognormal", "importance")
# how noise levels weigh in the loss, see point_diffusion.loss_weighting
LOSS_WEIGHTINGS = ("simple", "snr", "min_snr", "edm")

# subclasses of point_diffusion.samplers.Sampler
SAMPLERS: Registry[Any] = Registry(
    "point_diffusion.samplers",
    ddpm="DDPM",
    ddim="DDIM",
    dpm_solver="DPMSolver",
    deis="DEIS",
    unipc="UniPC",
    heun="Heun",
    mean_flow="MeanFlow",
)

# (samples of shape (n, dim), truth of shape (m, dim)) to a number, or to a point_diffusion.metrics.Estimate
METRICS: Registry[Callable[..., Any]] = Registry(
    "point_diffusion.metrics.samples",
    sliced_wasserstein="sliced_wasserstein",
    classifier_accuracy="classifier_accuracy",
)
