"""Parts of the user's own as choices of the command line: ``plugins=[mine.py] model=mine model.depth=3``."""

import inspect
from collections.abc import Iterable
from typing import Any

from hydra.core.config_store import ConfigStore

from point_diffusion.common.errors import UsageError
from point_diffusion.config.schema import CHOOSERS, COMPUTED
from point_diffusion.plugins import load_plugins

# keys that a section has beside the arguments of what is chosen there
BESIDE: dict[str, dict[str, Any]] = {
    "data": {"defaults": ["_defaults"], "num_points": 10_000},
    "schedule": {"num_step": "${num_step}", "alphas_cumprod_end": None},
}


def register(plugins: Iterable[str]) -> None:
    """Import the files that ``plugins`` names, and make a choice of its group of each part that they register.

    Raises:
        UsageError: one of them can't be imported, or registers something that can't be called.
    """
    load_plugins(plugins)
    for section, (chooser, registry) in CHOOSERS.items():
        for name in registry.added:
            try:
                parameters = inspect.signature(registry[name]).parameters
            except (TypeError, ValueError):
                text = f"must be a class or a function, not {registry[name]!r}"
                raise UsageError(f"plugins: {section}={name}: {text}") from None
            given = {
                each: "???" if parameter.default is parameter.empty else parameter.default
                for each, parameter in parameters.items()
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
                and each not in COMPUTED.get(section, ())
            }
            node = {**BESIDE.get(section, {}), chooser: name, **given}
            ConfigStore.instance().store(name, node, group=section)
