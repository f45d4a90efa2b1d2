"""Derivatives carried forward beside the values, by torch's dual numbers, with respect to points alone."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@contextmanager
def tangents() -> Iterator[None]:
    """Where ``forward_ad.make_dual`` and ``unpack_dual`` may be used, also by several threads at once; here the
    weights of layers are constants.
    """
    with _level, _ConstantWeights():
        yield


class _Level:
    """Torch's one level of forward derivatives, which threads may be in together."""

    def __init__(self) -> None:
        self._lock, self._inside, self._level = threading.Lock(), 0, forward_ad.dual_level()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._level.__enter__()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._level.__exit__(None, None, None)


_level = _Level()


class _Linear(torch.autograd.Function):
    """A linear layer whose weights are constants: torch's own multiplies by their tangents, too, which are 0."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def jvp(ctx: Any, x: Tensor, *_: Tensor | None) -> Tensor:
        return functional.linear(x, *ctx.saved_tensors)


class _ConstantWeights(TorchFunctionMode):
    """Where derivatives are with respect to points alone: two thirds of the time, to the same bits."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        fixed = (each is None or isinstance(each, torch.nn.Parameter) for each in args[1:])
        if func is functional.linear and not kwargs and all(fixed):
            return _Linear.apply(*args)
        return func(*args, **(kwargs or {}))
