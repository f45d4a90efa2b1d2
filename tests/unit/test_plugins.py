"""Files of the user's own that register parts when they are imported."""

import sys

import pytest

from point_diffusion.common.errors import UsageError
from point_diffusion.networks import MLPDiffusion
from point_diffusion.plugins import load_plugins
from point_diffusion.registry import BETAS, METRICS, NETWORKS, PREDICTION_TYPES, SAMPLERS, SHAPES

REGISTRIES = (BETAS, METRICS, NETWORKS, PREDICTION_TYPES, SAMPLERS, SHAPES)
NETWORK = """
from dataclasses import dataclass

from point_diffusion.networks import MLPDiffusion
from point_diffusion.registry import METRICS, NETWORKS


@dataclass
class Options:  # a dataclass looks its module up
    depth: "int" = 1


class Mine(MLPDiffusion):
    options = Options()


NETWORKS["mine"] = Mine
METRICS["count"] = lambda samples, truth: len(samples)
"""


@pytest.fixture(autouse=True)
def _clean_registries():
    """What a test adds is gone after it."""
    modules, names = set(sys.modules), [set(registry) for registry in REGISTRIES]
    yield
    for registry, before in zip(REGISTRIES, names, strict=True):
        for name in set(registry) - before:
            del registry[name]
    for module in set(sys.modules) - modules:
        if module.startswith("point_diffusion_plugin_"):
            del sys.modules[module]


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(NETWORK)
    return path


def test_what_a_file_registers_is_there_and_listed_as_added(mine):
    assert "mine" not in NETWORKS
    load_plugins([str(mine)])
    assert "mine" in NETWORKS
    assert NETWORKS.added == ["mine"]
    assert METRICS.added == ["count"]
    assert all(registry.added == [] for registry in (BETAS, PREDICTION_TYPES, SAMPLERS, SHAPES))
    network = NETWORKS["mine"](num_step=5, num_units=4)
    assert network.options.depth == 1
    assert METRICS["count"]([1, 2, 3], []) == 3
    assert type(network).__module__ in sys.modules


def test_a_file_is_imported_once(mine):
    load_plugins([str(mine)])
    first = NETWORKS["mine"]
    load_plugins([str(mine), str(mine)])
    assert NETWORKS["mine"] is first


def test_a_relative_path_is_the_same_file(mine, monkeypatch):
    monkeypatch.chdir(mine.parent)
    load_plugins(["mine.py"])
    first = NETWORKS["mine"]
    load_plugins([str(mine)])
    assert NETWORKS["mine"] is first


def test_files_of_the_same_name_are_both_imported(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "parts.py").write_text(
            f"from point_diffusion.registry import BETAS\nBETAS['{folder}'] = len\n"
        )
    load_plugins([str(tmp_path / folder / "parts.py") for folder in ("a", "b")])
    assert BETAS.added == ["a", "b"]


def test_what_is_shipped_is_not_replaced(tmp_path):
    (tmp_path / "mine.py").write_text("from point_diffusion.registry import NETWORKS\nNETWORKS['mlp'] = dict\n")
    with pytest.raises(UsageError, match="mlp: is the name of a shipped one; choose another"):
        load_plugins([str(tmp_path / "mine.py")])
    assert NETWORKS["mlp"] is MLPDiffusion
    assert NETWORKS.added == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.py", None, "no such file"),
        ("text.txt", "hello", "must be a Python file"),
        ("broken.py", "def (", r"can't be imported \(.*invalid syntax"),
        ("fails.py", "raise LookupError('need a\\nfoo')", r"can't be imported \(.*need a"),
        ("exits.py", "import sys\nsys.exit('enough')", r"can't be imported \(.*enough"),
        ("needs.py", "import bogus_package", r"can't be imported \(.*No module named 'bogus_package'"),
    ],
)
def test_what_can_not_be_imported_is_said_in_one_line(tmp_path, name, text, said):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=f"^plugins={path}: {said}") as refused:
        load_plugins([str(path)])
    assert "\n" not in str(refused.value)
    assert f"point_diffusion_plugin_{path.stem}" not in sys.modules


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UsageError, match=f"^plugins={tmp_path}: no such file$"):
        load_plugins([str(tmp_path)])


def test_a_file_that_has_failed_is_tried_again(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("raise LookupError('not yet')")
    with pytest.raises(UsageError, match="not yet"):
        load_plugins([str(path)])
    path.write_text(NETWORK)
    load_plugins([str(path)])
    assert NETWORKS.added == ["mine"]
