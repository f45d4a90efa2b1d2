"""Stateless randomness: every draw has a name, and its seed is a hash of that name.

A generator for (seed, purpose, epoch) can be made again at any time, so a resumed run continues to the same
bits with no random state saved, and asking for one more picture never shifts the training noise.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(*name: int | str) -> int:
    """A seed in [0, 2^63) from ``name``, say ``(1234, "noise", 7)``; the same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(name).encode(), digest_size=8).digest(), "big") >> 1


def generator(*name: int | str, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A torch generator on ``device``, seeded by ``name``."""
    import torch

    return torch.Generator(device).manual_seed(derive_seed(*name))
