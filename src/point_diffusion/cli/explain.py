"""What is wrong with a command line that Hydra refuses, from the error that it raises."""

import re
from typing import Any

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from point_diffusion.cli.command_line import CommandLine, no_such_choice
from point_diffusion.common.errors import first_line
from point_diffusion.common.text import suggest

# what the extra brings
PLUGINS = (
    "hydra/launcher/joblib",
    "hydra/launcher/submitit_local",
    "hydra/launcher/submitit_slurm",
    "hydra/sweeper/optuna",
)


def explain(error: Exception, typed: CommandLine) -> str:
    """One line on the argument that Hydra could not compose; "" for an error of another kind."""
    if isinstance(error, MissingConfigException):
        return _missing_choice(error, typed)
    if isinstance(error, MarkedYAMLError):
        place = error.problem_mark or error.context_mark
        where = f"{place.name.removeprefix('file://')}, line {place.line + 1}" if place else "a config"
        return f"{where}: is not YAML ({error.problem or error.context})"
    if isinstance(error, OverrideParseException):
        broken = first_line(error) if "=" in error.override else "must be KEY=VALUE"
        return f"{error.override}: {broken}"
    if swept := re.match("(?:Ambiguous value for argument|Sweep parameters) '(.*)'", str(error)):
        return _not_a_sweep(swept[1], typed)
    if isinstance(error, ConfigCompositionException):
        if isinstance(cause := error.__cause__, OmegaConfBaseException):
            return _unknown_key(cause, typed)
        return first_line(error)
    if killed := re.match(r"Job (\S+) .*has not produced any output", str(error), re.DOTALL):  # of submitit
        again = "the same command with the sweep's folder as hydra.sweep.dir runs what is missing"
        return f"job {killed[1]} of the cluster has ended without a result (killed, or out of memory); {again}"
    if wrong := re.search("Config group override must be a string or a list. Got (.*)", str(error)):
        return _no_choice(wrong[1], typed)
    return ""


def _no_choice(kind: str, typed: CommandLine) -> str:
    """Hydra says of which type the choice of a group is, and not which group."""
    for each in typed.parsed():
        group = each.key_or_group
        is_group = "/" in group or any((folder / group).is_dir() for folder in typed.config_folders)
        if is_group and not each.is_delete() and type(each.value()).__name__ == kind:
            choices = ", ".join(typed.choices(group))
            allowed = "KEY=VALUE" if not group else f"one of {choices}" if choices else "a name"
            return f"{each.input_line}: must be {allowed}"
    return ""


def _not_a_sweep(swept: str, typed: CommandLine) -> str:
    """Hydra takes a command for a single run also where it can't compose the rest, and does not say so."""
    try:
        typed.compose(typed.single_values())
    except Exception as error:
        return explain(error, typed)
    return f"{swept}: several values need -m, a sweep"


def _missing_choice(error: MissingConfigException, typed: CommandLine) -> str:
    missing = str(error.missing_cfg_file)
    group, _, choice = missing.rpartition("/")
    for each in typed.parsed():
        if not each.is_delete() and f"{each.key_or_group}/{each.value()}" == missing:
            group, choice = each.key_or_group, str(each.value())  # a choice may have a folder in its name
    if error.missing_cfg_file in PLUGINS:
        return f'{group}={choice}: needs more packages: pip install -e ".[sweep]"'
    choices = typed.choices(group) or list(error.options or ())
    return no_such_choice(group, choice, choices)


def _unknown_key(cause: Any, typed: CommandLine) -> str:
    """``cause`` names the key, or the first section of it that is not there, and holds its siblings."""
    key = cause.full_key
    names = {text.lstrip("+~").partition("=")[0]: text for text in typed.overrides}
    # else it stands in an experiment's sweep
    word = next((text for name, text in names.items() if f"{name}.".startswith(f"{key}.")), key)
    section, _, last = key.rpartition(".")
    siblings = [str(name) for name in cause.parent_node or () if name != "hydra"]
    if last in siblings:
        return f"{word}: {first_line(cause)}"
    if not word.lstrip("+~").startswith(f"{key}."):
        return f"{word}: no such key{suggest(last, siblings, section)}"
    return f"{word}: no such section{suggest(last, siblings, max_listed=0)}"
