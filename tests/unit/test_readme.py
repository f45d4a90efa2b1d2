"""What the README says: its commands compose, its quotes are what the code says."""

import inspect
import re
import shlex

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from helpers.small_runs import CHECKOUT
from point_diffusion.cli.explain import _choices
from point_diffusion.cli.quoting import as_typed
from point_diffusion.commands.animate import animate_problems
from point_diffusion.commands.compare import compare_problems
from point_diffusion.commands.evaluate import evaluate_problems
from point_diffusion.commands.sample import sample_problems
from point_diffusion.data.shapes import s_curve
from point_diffusion.diffusion import Diffusion
from point_diffusion.samplers import DDIM
from point_diffusion.training.preflight import problems

PROBLEMS = {
    "train": problems,
    "sample": sample_problems,
    "evaluate": evaluate_problems,
    "animate": animate_problems,
    "compare": compare_problems,
}
README = (CHECKOUT / "README.md").read_text()
COMMANDS = re.findall(r"^python scripts/(\w+)\.py ?(.*)$", README, re.MULTILINE)


def test_it_opens_with_two_commands_that_do_all_the_set_up():
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    assert blocks[0] == "pip install -e . && python scripts/train.py experiment=recommended\n"
    assert blocks[1] == 'pip install -e ".[test]" && pytest\n'


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_commands_compose(name, arguments):
    typed = [as_typed(each) for each in shlex.split(arguments, comments=True)]
    overrides = [each for each in typed if not each.startswith("-")]
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
        for override in overrides:
            for single in _choices(override, "-m" in typed):
                groups = ("hydra/", "experiment=") if "-m" in typed else ("",)
                others = [each for each in overrides if each != override and each.startswith(groups)]
                config = compose(name, [*others, single])
                wrong = list(PROBLEMS[name](config))
                assert [each for each in wrong if "DATE/TIME" not in each] == []


def test_there_are_commands_for_each_script():
    assert {name for name, _ in COMMANDS} == {path.stem for path in (CHECKOUT / "scripts").glob("*.py")}


def test_the_health_line_is_the_one_that_is_printed(config):
    plain = {**config(), "data": {**config().data, "dim": 2}}
    model = Diffusion.from_config(plain)
    model.describe_data(torch.from_numpy(s_curve(10_000, 0.1, 1234)))
    assert model.health()[1] in README.replace("\n", " ")


def test_the_example_of_a_sampler_is_the_real_one():
    (shown,) = re.findall(r"```python\n(@dataclass.*?class DDIM.*?)```", README, re.DOTALL)
    source = inspect.getsource(DDIM)

    def squeezed(code):
        return "".join(code.split())

    head, body = shown.split("def step(self, now, to, previous, draw_noise):")
    for part in (*head.splitlines(), body):
        assert squeezed(part) in squeezed(source)
    (options,) = re.findall(r"```yaml\n(name: ddim.*?)```", README, re.DOTALL)
    assert yaml.safe_load(options) == yaml.safe_load((CHECKOUT / "conf/sampler/ddim.yaml").read_text())
