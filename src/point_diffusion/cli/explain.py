"""What is wrong with a command line that Hydra refuses."""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.paths import CHECKOUT
from point_diffusion.common.text import suggest

CONF = CHECKOUT / "conf"
Problems = Callable[[DictConfig], Iterable[str]]

# what the extra brings
PLUGINS = (
    "hydra/launcher/joblib",
    "hydra/launcher/submitit_local",
    "hydra/launcher/submitit_slurm",
    "hydra/sweeper/optuna",
)


def explain(arguments: list[str], problems: Problems) -> list[str]:
    """What is wrong with a command line: one line for each override that Hydra can't compose, or wrong value.

    Hydra stops at the first; here they are tried one after the other, on top of those that are well.
    """
    name = Path(sys.argv[0]).stem
    overrides = [text for text in arguments if not text.startswith("-")]
    lines, good = list[str](), list[str]()
    with initialize_config_dir(str(CONF), version_base=None):
        multirun = "-m" in arguments or "--multirun" in arguments or _is_sweep(name, overrides)
        # a choice of group may bring the keys that other overrides set: those go first
        groups = {path.name for path in CONF.iterdir() if path.is_dir()}
        overrides.sort(key=lambda text: text.lstrip("+~").partition("=")[0] not in groups)
        for override in overrides:
            single = override
            try:
                for single in expand_sweep(override, multirun):
                    compose(name, [*good, single], return_hydra_config=True)
                good.append(single)
            except Exception as wrong:  # Hydra refuses some choices by a bare ValueError
                lines.append(_explain_one(single, compose(name, good, return_hydra_config=True), wrong))
        return [*lines, *problems(compose(name, good))]


def _is_sweep(name: str, arguments: list[str]) -> bool:
    """Whether an experiment that is asked for is a sweep by itself."""
    experiments = [text for text in arguments if text.startswith("experiment=")]
    try:
        return compose(name, experiments, return_hydra_config=True).hydra.mode is RunMode.MULTIRUN
    except Exception:  # as below
        return False


def expand_sweep(override: str, multirun: bool) -> list[str]:
    """The single overrides of one that may sweep; UsageError where it sweeps and must not."""
    parsed: Override = OverridesParser.create().parse_override(override)
    if parsed.is_sweep_override() and not multirun:
        raise UsageError("several values need -m, a sweep")
    if not parsed.is_discrete_sweep():
        return [override]
    return [f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()]


def _explain_one(override: str, config: DictConfig, error: Exception) -> str:
    if not override.lstrip("+~").partition("=")[0] or ("=" not in override and not override.startswith("~")):
        return f"{override}: must be KEY=VALUE"
    key = override.lstrip("+~").partition("=")[0]
    absent = re.search(r"Could not find '([\w/]+)'", str(error))
    if absent and absent[1] in PLUGINS:
        return f'{override}: needs more packages: pip install -e ".[sweep]"'
    choices = group_choices(key)
    if absent and not choices:
        choices = re.findall(r"^\t(\w+)$", str(error), re.MULTILINE)  # Hydra's own groups
    if choices:
        hint = _only_if_close(override.partition("=")[2], choices)
        return f"{override}: must be one of {', '.join(choices)}{hint}"
    section, _, last = key.rpartition(".")
    node = OmegaConf.select(config, section) if section else config
    if isinstance(node, DictConfig) and last not in node:
        return f"{override}: no such key{suggest(last, [str(name) for name in node if name != 'hydra'], section)}"
    if section and node is None:
        return f"{override}: no such section{_only_if_close(section, [str(name) for name in config])}"
    return f"{override}: {first_line(error)}"


def group_choices(group: str) -> list[str]:
    """The choices of a config group; none where ``group`` is not one."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _only_if_close(name: str, names: list[str]) -> str:
    suggestion = suggest(name, names)
    return suggestion if "did you mean" in suggestion else ""
