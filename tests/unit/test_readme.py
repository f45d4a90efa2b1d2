"""What the README files say: commands compose, links and paths exist, quotes are what the code says.

The front page is README.md; the others stand beside what they are about.
"""

import inspect
import re
import shlex
from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from helpers.points import s_curve
from point_diffusion import registry as registry_module
from point_diffusion.cli.command_line import command_line
from point_diffusion.cli.quoting import quote_override
from point_diffusion.commands.compare import compare_problems
from point_diffusion.commands.train_messages import prior_line
from point_diffusion.common.paths import CHECKOUT
from point_diffusion.config.own_parts import register
from point_diffusion.config.script_schema import Animate, Evaluate, Explore, Sample
from point_diffusion.config.validate import script_problems
from point_diffusion.data.description import describe
from point_diffusion.data.source import build_source
from point_diffusion.diffusion import Diffusion
from point_diffusion.metrics import energy_distance
from point_diffusion.registry import Registry
from point_diffusion.samplers import DDIM
from point_diffusion.training.preflight import problems
from point_diffusion.training.settle import settle

PROBLEMS = {
    "train": problems,
    "sample": partial(script_problems, keys=Sample),
    "evaluate": partial(script_problems, keys=Evaluate),
    "animate": partial(script_problems, keys=Animate),
    "explore": partial(script_problems, keys=Explore),
    "compare": compare_problems,
}
MAX_LINES = 170
PACKAGE = "src/point_diffusion"
FOLDERS = ("conf", "src", "tests")
FOUND = [path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("README.md")]
NAMES = ["README.md", *sorted(str(path.relative_to(CHECKOUT)) for path in FOUND)]
TEXTS = {name: (CHECKOUT / name).read_text() for name in NAMES}
ALL = "\n".join(TEXTS.values())
FRONT_PAGE = TEXTS["README.md"]
# in blocks and within a line: `python scripts/train.py num_step=20`
COMMANDS = re.findall(r"python scripts/(\w+)\.py ?([^`\n]*)", ALL)
COMMANDS = sorted({(name, arguments.partition(" #")[0].strip()) for name, arguments in COMMANDS})


def make_points(folder):
    """The files of points that the pages speak of."""
    draws = np.random.default_rng(0)
    rows = pl.DataFrame(draws.normal(size=(900, 2)), schema=["height", "weight"])
    rows.write_csv(folder / "points.csv")
    np.save(folder / "large.npy", rows.to_numpy())
    rows.with_columns(species=pl.Series(["setosa", "virginica"] * 450)).write_csv(folder / "iris.csv")
    Image.fromarray(np.triu(np.full((20, 20), 255, np.uint8))).save(folder / "logo.png")


@pytest.fixture
def registered_as_before():
    """What a plugin adds is forgotten."""
    before = {
        name: list(registry) for name, registry in vars(registry_module).items() if isinstance(registry, Registry)
    }
    yield
    for name, names in before.items():
        registry = getattr(registry_module, name)
        for added in set(registry) - set(names):
            del registry[added]


def without_blocks(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def each_value(override):
    """The single overrides of one that may sweep; of numbers the first and the last."""
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_discrete_sweep():
        return [override]
    values = list(parsed.sweep_string_iterator())
    if all(re.fullmatch(r"[\d._e-]+", value) for value in values):
        values = values[:1] + values[1:][-1:]
    return [f"{parsed.get_key_element()}={value}" for value in values]


def anchors(text):
    """The names by which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_it_opens_with_two_commands_that_do_all_the_set_up():
    blocks = re.findall(r"```bash\n(.*?)```", FRONT_PAGE, re.DOTALL)
    assert blocks[0] == "pip install -e . && python scripts/train.py experiment=recommended\n"
    assert blocks[1] == 'pip install -e ".[test]" && pytest\n'


def test_the_front_page_is_short():
    assert len(FRONT_PAGE.splitlines()) <= MAX_LINES


# what a command needs that this machine has not: a run of the reader's, a cluster, more cores
OF_ELSEWHERE = ("DATE/TIME", "must be started by torchrun or srun", "the cores that are free here")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_commands_compose(name, arguments, tmp_path, monkeypatch, registered_as_before):
    monkeypatch.chdir(tmp_path)
    for file, text in re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", ALL, re.DOTALL):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    make_points(tmp_path)
    typed = command_line(name, [quote_override(each) for each in shlex.split(arguments, comments=True)])
    typed.check()
    register(typed.plugins)
    asked = set()  # each value of a sweep once, beside what groups need
    for override in typed.overrides:
        for single in each_value(override):
            groups = ("hydra/", "experiment=") if typed.flags.multirun else ("",)
            asked.add(
                tuple(
                    single if each == override else each
                    for each in typed.overrides
                    if each == override or each.startswith(groups)
                )
            )
    for words in asked:
        if name != "train":  # whose sampler has all its keys
            words = [re.sub(r"^sampler\.", "++sampler.", word) for word in words]
        composed = typed.compose(list(words))
        if name == "train":
            settle(composed)
        wrong = list(PROBLEMS[name](composed))
        assert [each for each in wrong if not any(words in each for words in OF_ELSEWHERE)] == []


def test_there_are_commands_for_each_script():
    assert {name for name, _ in COMMANDS} == {path.stem for path in (CHECKOUT / "scripts").glob("*.py")}


@pytest.mark.parametrize("name", NAMES)
def test_links_and_pictures_are_there(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(TEXTS[name])):
        if re.match(r"\w+:", target):  # of the web
            continue
        path, _, anchor = target.partition("#")
        file = (CHECKOUT / name).parent / path if path else CHECKOUT / name
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


@pytest.mark.parametrize("name", NAMES)
def test_files_and_folders_that_are_named_are_there(name):
    """Files of code, folders and paths of tests: from the page's folder, the package, the root or scripts/."""
    places = [(CHECKOUT / name).parent, CHECKOUT / PACKAGE, CHECKOUT, CHECKOUT / "scripts"]
    named = re.findall(r"`([\w.\-/]+(?:\.py|\.yaml|/))`", without_blocks(TEXTS[name]))
    named += re.findall(r"^pytest (\S+\.py)", TEXTS[name], re.MULTILINE)
    missing = [each for each in named if not any((place / each).exists() for place in places)]
    assert set(missing) - {"sweeps/", "figures/"} == set()  # these are in outputs/


def test_each_page_is_linked_from_the_front_page():
    assert {name for name in NAMES if f"]({name})" not in FRONT_PAGE} == {"README.md"}


@pytest.mark.slow
def test_the_program_of_the_front_page_runs(capsys):
    (program,) = re.findall(r"```python\n(import torch\n.*?)```", FRONT_PAGE, re.DOTALL)
    names = {}
    torch.manual_seed(0)
    shorter = program.replace("range(2_000)", "range(400)")  # enough to be closer than a Gaussian
    assert shorter != program
    exec(compile(shorter, "README.md", "exec"), names)
    assert names["samples"].shape == (10_000, 2)
    assert capsys.readouterr().out
    # a Gaussian with the curve's mean and covariance is at about 0.03
    assert energy_distance(names["samples"][:1_000], s_curve(1_000, noise=0.1, seed=1)) < 0.015


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", f"{PACKAGE}/data/README.md"])
def test_the_program_that_fits_an_array_runs(name, tmp_path):
    (program,) = re.findall(
        r"```python\n(import numpy as np\nfrom point_diffusion import fit.*?)```", TEXTS[name], re.DOTALL
    )
    shorter = program.replace("epochs=50", f"epochs=2, output_dir={str(tmp_path)!r}")
    assert shorter != program
    assert len(program.splitlines()) <= 10
    names = {}
    exec(compile(shorter, name, "exec"), names)
    assert names["samples"].shape == (1_000, 3)
    assert isinstance(names["samples"], np.ndarray)
    assert names["run"].columns == ("a", "b", "c")
    assert names["samples"].std(axis=0)[2] > 10  # the columns' own units


def test_the_names_that_the_pages_import_are_there():
    lines = set(re.findall(r"^from point_diffusion\S* import .*$", ALL, re.MULTILINE))
    assert len(lines) > 3
    for line in sorted(lines):
        exec(line, {})


def test_the_health_line_is_the_one_that_is_printed(config):
    composed = config()
    source = build_source(composed.data)
    model = Diffusion.from_config(composed, describe(source, composed.data).plain())
    model.describe_data(torch.from_numpy(source.train.points))
    assert prior_line(model, composed.data.scale) in ALL.replace("\n", " ")


def test_the_example_of_a_sampler_is_the_real_one():
    (shown,) = re.findall(r"```python\n(@dataclass.*?class DDIM.*?)```", ALL, re.DOTALL)
    source = inspect.getsource(DDIM)

    def squeezed(code):
        return "".join(code.split())

    head, body = shown.split("def step(self, now, to, history, draw_noise):")
    for part in (*head.splitlines(), body):
        assert squeezed(part) in squeezed(source)
    (options,) = re.findall(r"```yaml\n(name: ddim.*?)```", ALL, re.DOTALL)
    assert yaml.safe_load(options) == yaml.safe_load((CHECKOUT / "conf/sampler/ddim.yaml").read_text())


def test_the_line_that_names_the_samplers_is_the_real_one():
    (shown,) = re.findall(r"^SAMPLERS = (Registry\(\n.*?^\))$", ALL, re.MULTILINE | re.DOTALL)
    source = "".join((CHECKOUT / PACKAGE / "registry.py").read_text().split())
    assert "".join(shown.split()) in source
