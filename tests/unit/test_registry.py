"""What is registered is what a config may choose, what help lists and what errors name."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from point_diffusion.cli.help import reference
from point_diffusion.config.validate import config_problems
from point_diffusion.data.shapes.base import Drawn, Shape, column_names
from point_diffusion.data.source import FILE
from point_diffusion.networks import MLPDiffusion
from point_diffusion.prediction import Epsilon
from point_diffusion.registry import BETAS, NETWORKS, PREDICTION_TYPES, SAMPLERS, SHAPES, Registry
from point_diffusion.runs.load import load_run
from point_diffusion.samplers import DDIM
from point_diffusion.training.preflight import problems


class Wide(MLPDiffusion):
    """A network with an argument that the shipped one has not."""

    def __init__(self, num_step: int, depth: int = 1, dim: int = 2) -> None:
        super().__init__(num_step, 8 * depth, dim)


@dataclass(frozen=True)
class Ring(Shape):
    """A circle in space."""

    noise: float = 0.1

    @property
    def columns(self) -> tuple[str, ...]:
        return column_names(3)

    def draw(self, num_points: int, seed: int) -> Drawn:
        random = np.random.default_rng(seed)
        angles = random.uniform(0, 2 * np.pi, num_points)
        points = np.stack([np.cos(angles), np.sin(angles), np.zeros(num_points)], axis=1)
        return Drawn((points + self.noise * random.normal(size=points.shape)).astype(np.float32))


def flat_betas(num_step: int, beta_start: float, beta_end: float) -> torch.Tensor:
    return torch.full((num_step,), beta_end, dtype=torch.float64)


MINE = {
    "data.shape": (SHAPES, Ring),
    "schedule.name": (BETAS, flat_betas),
    "model.name": (NETWORKS, Wide),
    "module.prediction_type": (PREDICTION_TYPES, type("Mine", (Epsilon,), {})),
    "sampler.name": (SAMPLERS, type("Mine", (DDIM,), {})),
}


# keys of the shipped network that this one has not
WITHOUT = ["~model.embedding_init_scale", "~model.num_units"]


@pytest.fixture
def registered():
    for registry, entry in MINE.values():
        registry["mine"] = entry
    yield [f"{key}=mine" for key in MINE]
    for registry, _ in MINE.values():
        del registry["mine"]


@pytest.mark.parametrize("key", MINE)
def test_only_what_is_registered_can_be_chosen(config, registered, key):
    assert config_problems(config(f"{key}=mine")) == {}
    assert "mine" in reference(config()).partition(f"{key}=")[2].splitlines()[0]
    (line,) = config_problems(config(f"{key}=other")).values()
    names = ", ".join(([FILE] if key == "data.shape" else []) + list(MINE[key][0]))
    assert line == f"{key}=other: must be one of {names}"
    assert names.endswith("mine")


def test_what_is_registered_is_trained_and_loaded(config, registered, small_train):
    mine = ["+model.depth=2", *WITHOUT, "~sampler.variance_type", "+sampler.eta=0.5"]
    metrics, folder = small_train(*registered, *mine, "trainer.max_epochs=1")
    assert metrics["finished"] is True
    run = load_run(folder)
    assert isinstance(run.diffusion.network, Wide)
    assert run.sample(7).shape == (7, 3)
    assert run.source.columns == ("x", "y", "z")


def test_an_argument_that_it_has_not_is_named(config, registered):
    wrong = config_problems(config("model.name=mine", *WITHOUT, "+model.dept=2"))
    assert list(wrong.values()) == ["model.dept: no such key; did you mean model.depth?"]


def test_a_registry_imports_what_it_is_asked_for_alone():
    registry = Registry("no.such.module", thing="Thing")
    assert list(registry) == ["thing"]
    assert "thing" in registry
    with pytest.raises(ModuleNotFoundError):
        registry["thing"]
    registry["other"] = nn.Linear
    assert registry["other"] is nn.Linear
    with pytest.raises(KeyError):
        registry["nothing"]


def test_arguments_that_a_registered_network_has_not_are_named_before_a_run(config, registered):
    (line,) = problems(config("model.name=mine"))
    assert line == "model.name=mine: got an unexpected keyword argument 'num_units'; choose it by model=NAME"
