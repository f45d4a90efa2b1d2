"""What needs all digits is computed in float64, also where a device has none."""

from torch import Tensor


def float64(x: Tensor) -> Tensor:
    """The same numbers in float64, on their device; on the CPU where the device has no such type, as ``mps``."""
    return (x.cpu() if x.device.type == "mps" else x).double()
