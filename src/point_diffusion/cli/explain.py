"""What is wrong with a command line that Hydra refuses, from the error that it raises."""

import re
import sys
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from point_diffusion.common.errors import first_line
from point_diffusion.common.paths import CHECKOUT
from point_diffusion.common.text import suggest

CONF = CHECKOUT / "conf"

# what the extra brings
PLUGINS = (
    "hydra/launcher/joblib",
    "hydra/launcher/submitit_local",
    "hydra/launcher/submitit_slurm",
    "hydra/sweeper/optuna",
)


def explain(error: Exception, arguments: list[str]) -> str:
    """One line on the argument that Hydra could not compose; "" for an error of another kind."""
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, OverrideParseException):
        broken = first_line(error) if "=" in error.override else "must be KEY=VALUE"
        return f"{error.override}: {broken}"
    if swept := re.match("(?:Ambiguous value for argument|Sweep parameters) '(.*)'", str(error)):
        return _not_a_sweep(swept[1], arguments)
    if isinstance(error, ConfigCompositionException):
        if isinstance(cause := error.__cause__, OmegaConfBaseException):
            return _unknown_key(cause, arguments)
        return first_line(error)
    if wrong := re.search("Config group override must be a string or a list. Got (.*)", str(error)):
        return _no_choice(wrong[1], arguments)
    return ""


def _no_choice(kind: str, arguments: list[str]) -> str:
    """Hydra says of which type the choice of a group is, and not which group."""
    for each in OverridesParser.create().parse_overrides(_overrides(arguments)):
        group = each.key_or_group
        is_group = "/" in group or (CONF / group).is_dir()
        if is_group and not each.is_delete() and type(each.value()).__name__ == kind:
            choices = ", ".join(group_choices(group))
            allowed = "KEY=VALUE" if not group else f"one of {choices}" if choices else "a name"
            return f"{each.input_line}: must be {allowed}"
    return ""


def _not_a_sweep(swept: str, arguments: list[str]) -> str:
    """Hydra takes a command for a single run also where it can't compose the rest, and does not say so."""
    parsed = OverridesParser.create().parse_overrides(_overrides(arguments))
    others = [str(each.input_line) for each in parsed if not each.is_sweep_override()]
    with initialize_config_dir(str(CONF), version_base=None):
        try:
            compose(Path(sys.argv[0]).stem, others)
        except Exception as error:
            return explain(error, arguments)
    return f"{swept}: several values need -m, a sweep"


def _missing_choice(error: MissingConfigException) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    if error.missing_cfg_file in PLUGINS:
        return f'{group}={choice}: needs more packages: pip install -e ".[sweep]"'
    choices = list(error.options or group_choices(group))
    return f"{group}={choice}: must be one of {', '.join(choices)}{suggest(choice, choices, max_listed=0)}"


def _unknown_key(cause: Any, arguments: list[str]) -> str:
    """``cause`` names the key, or the first section of it that is not there, and holds its siblings."""
    key = cause.full_key
    names = {text.lstrip("+~").partition("=")[0]: text for text in _overrides(arguments)}
    # else it stands in an experiment's sweep
    typed = next((text for name, text in names.items() if f"{name}.".startswith(f"{key}.")), key)
    section, _, last = key.rpartition(".")
    siblings = [str(name) for name in cause.parent_node or () if name != "hydra"]
    if last in siblings:
        return f"{typed}: {first_line(cause)}"
    if not typed.lstrip("+~").startswith(f"{key}."):
        return f"{typed}: no such key{suggest(last, siblings, section)}"
    return f"{typed}: no such section{suggest(last, siblings, max_listed=0)}"


def _overrides(arguments: list[str]) -> list[str]:
    """Without flags and their values."""
    return [text for text in arguments if text.startswith("~") or ("=" in text and not text.startswith("-"))]


def group_choices(group: str) -> list[str]:
    """The choices of a config group; none where ``group`` is not one."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
