"""What a config chooses by name: shapes, betas, networks, prediction types, samplers.

The shipped ones stand here by name and are imported when they are used, so that names can be checked, listed and
explained without torch. What is added at run time is chosen, listed and explained in the same way::

    from point_diffusion.registry import SHAPES

    SHAPES["ring"] = my_ring
"""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from point_diffusion.data.shapes import Shape
    from point_diffusion.prediction import PredictionType
    from point_diffusion.samplers import Sampler

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """Names and what they stand for.

    Args:
        module: where the shipped ones are defined.
        **shipped: the names of attributes of that module, by the names that a config uses.
    """

    def __init__(self, module: str, **shipped: str) -> None:
        self._module = module
        self._entries: dict[str, Any] = dict(shipped)  # a string: still to be imported

    def __getitem__(self, name: str) -> T:
        entry = self._entries[name]
        return getattr(import_module(self._module), entry) if isinstance(entry, str) else entry

    def __setitem__(self, name: str, entry: T) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries  # without importing

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


SHAPES: "Registry[Shape]" = Registry("point_diffusion.data.shapes", s_curve="s_curve")

BETAS: "Registry[Callable[..., Tensor]]" = Registry(
    "point_diffusion.schedule",
    sigmoid="sigmoid_betas",
    linear="linear_betas",
    scaled_linear="scaled_linear_betas",
    cosine="cosine_betas",
    betas="explicit_betas",
)

NETWORKS: "Registry[Callable[..., nn.Module]]" = Registry("point_diffusion.network", mlp="MLPDiffusion")

PREDICTION_TYPES: "Registry[type[PredictionType]]" = Registry(
    "point_diffusion.prediction", epsilon="Epsilon", sample="Sample", v_prediction="VPrediction"
)

SAMPLERS: "Registry[type[Sampler]]" = Registry(
    "point_diffusion.samplers", ddpm="DDPM", ddim="DDIM", dpm_solver="DPMSolver"
)
