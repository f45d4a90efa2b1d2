"""A CUDA graph's stand-in where there is no GPU: the operations of a recording, on whatever device they run.

Like a CUDA graph it keeps the operations and the tensors that they read and write, and nothing of the Python
around them; a recording leaves all values as they were; and to look at a value amid a recording is an error.
"""

from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def tensors(*nested):
    return [leaf for leaf in tree_leaves(nested) if torch.is_tensor(leaf)]


def storage(tensor):
    return tensor.untyped_storage()._cdata


WAITING = {
    torch.ops.aten._local_scalar_dense.default: "a value is looked at",
    torch.ops.aten.lift_fresh.default: "a number is brought from the host",
}


class Tape:
    """Stands for torch.cuda.CUDAGraph."""

    replayed = 0

    def __init__(self):
        self.operations = []

    def replay(self):
        Tape.replayed += 1
        with torch.no_grad():
            for function, args, kwargs, results in self.operations:
                again = function(*args, **kwargs)
                for old, new in zip(tensors(results), tensors(again), strict=True):
                    if storage(old) != storage(new) and not function.is_view:
                        old.detach().copy_(new)


class Recorder(TorchDispatchMode):
    def __init__(self, tape):
        super().__init__()
        self.tape, self.own, self.before = tape, set(), {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in WAITING:
            raise RuntimeError(WAITING[function])
        kwargs = kwargs or {}
        drawing = any(isinstance(each, torch.Generator) for each in tree_leaves((args, kwargs)))
        assert not drawing, "an unregistered generator draws"
        for argument, value in zip(function._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for each in tensors(value):
                    if storage(each) not in self.own and storage(each) not in self.before:
                        self.before[storage(each)] = each.untyped_storage(), each.untyped_storage().clone()
        results = function(*args, **kwargs)
        given = {storage(each) for each in tensors(args, kwargs)}
        self.own |= {storage(each) for each in tensors(results)} - given
        self.tape.operations.append((function, args, kwargs, results))
        return results


@contextmanager
def recording(tape):
    """Stands for torch.cuda.graph."""
    assert Stream.inside, "a recording that fails would leave its own stream in place"
    recorder = Recorder(tape)
    try:
        with recorder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.Optimizer, HEALTH, refuse)
            yield
    finally:
        for now, before in recorder.before.values():
            now.copy_(before)


HEALTH = "_accelerator_graph_capture_health_check"


def refuse(optimizer):
    """As torch's own check does amid a recording."""
    if not all(group["capturable"] for group in optimizer.param_groups):
        raise RuntimeError("param_groups' capturable is False")


class Stream:
    """Stands for torch.cuda.stream."""

    inside = 0

    def __init__(self, _):
        pass

    def __enter__(self):
        Stream.inside += 1

    def __exit__(self, *_):
        Stream.inside -= 1


def install(monkeypatch):
    """Have the CPU taken for the device that steps are recorded on."""
    monkeypatch.setattr("point_diffusion.training.cuda_graph.DEVICE_TYPE", "cpu")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Tape)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    Tape.replayed = 0
