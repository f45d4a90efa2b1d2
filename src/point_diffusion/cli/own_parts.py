"""Parts of the user's own as choices of the command line: ``plugins=[mine.py] model=mine model.depth=3``."""

import inspect
from typing import Any

from hydra.core.config_store import ConfigStore

from point_diffusion.cli.command_line import CommandLine
from point_diffusion.config.schema import CHOOSERS, COMPUTED
from point_diffusion.plugins import load_plugins

# keys that a section has beside the arguments of what is chosen there
BESIDE: dict[str, dict[str, Any]] = {
    "data": {"defaults": ["_defaults"], "num_points": 10_000},
    "schedule": {"num_step": "${num_step}", "alphas_cumprod_end": None},
}


def register(typed: CommandLine) -> None:
    """Import the files that ``plugins`` names, and make a choice of its group of each part that they register.

    Raises:
        UsageError: one of them can't be imported.
    """
    load_plugins(typed.plugins)
    for section, (chooser, registry) in CHOOSERS.items():
        for name in registry.added:
            given = {
                each: "???" if parameter.default is parameter.empty else parameter.default
                for each, parameter in inspect.signature(registry[name]).parameters.items()
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
                and each not in (*COMPUTED.get(section, ()), "num_step")
            }
            node = {**BESIDE.get(section, {}), chooser: name, **given}
            ConfigStore.instance().store(name, node, group=section)
