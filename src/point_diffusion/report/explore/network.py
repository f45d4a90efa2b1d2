"""What the page needs to run a run's network by itself: weights, noise levels and units."""

from typing import TYPE_CHECKING, Any

import torch

from point_diffusion.networks.mlp import MLPDiffusion
from point_diffusion.report.explore.arrays import floats
from point_diffusion.scaling import Affine, Division

if TYPE_CHECKING:
    from torch import Tensor

    from point_diffusion.diffusion import Diffusion
    from point_diffusion.scaling import Scaling


def network(diffusion: "Diffusion") -> dict[str, Any]:
    """The model as ``web/network.js`` runs it; or ``why_not``, where it does not know the network or the scaling.

    Args:
        diffusion: the model, with the averaged weights.
    """
    net = diffusion.network
    if type(net) is not MLPDiffusion:
        return {"why_not": f"the page does not know the network {type(net).__name__}"}
    if (units := affine(diffusion.scaling, diffusion.dim)) is None:
        return {"why_not": "the page does not know a scaling that is not linear"}
    shift, matrix = units
    told: dict[str, Any] = {}
    if len(net.condition_embeddings):
        layers: list[Any] = list(net.condition_embeddings)
        told = {
            "num_columns": net.num_columns,
            "classes": [floats(_plain(each.classes.weight)) for each in layers if each.classes is not None],
            "no_numbers": [floats(_plain(each.no_numbers)) for each in layers if each.numbers is not None],
        }
    return {
        "prediction": diffusion.prediction_type,
        "sigma_data": diffusion.sigma_data,
        "frequencies": floats(_plain(net.frequencies)),
        "layers": [
            {name: floats(_plain(tensor)) for name, tensor in (("weight", linear.weight), ("bias", linear.bias))}
            for linear in (*net.linears, net.head)
        ],
        "embeddings": [floats(_plain(each.weight)) for each in net.step_embeddings],
        "shift": shift.tolist(),
        "matrix": matrix.tolist(),
        "inverse": torch.linalg.inv(matrix).tolist(),
        "mean": diffusion.data_mean.double().tolist(),
        **told,
    }


def affine(scaling: "Scaling", dim: int) -> "tuple[Tensor, Tensor] | None":
    """Shift (dim,) and matrix (dim, dim) of p = shift + x @ matrix, float64; None of a scaling that bends."""
    if not isinstance(scaling, (Affine, Division)):
        return None
    axes = torch.eye(dim, dtype=torch.float64)
    shift = scaling.to_data(axes.new_zeros(1, dim)).double()[0]
    return shift, scaling.velocity_to_data(axes, axes).double()


def _plain(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy()
