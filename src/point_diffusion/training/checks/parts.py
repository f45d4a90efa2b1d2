"""Parts that may be the user's own: loggers and callbacks, networks and samplers, the style of pictures."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from point_diffusion.common.errors import UsageError
from point_diffusion.config.convert import loggers, select, user_callbacks
from point_diffusion.config.validate import FILE_LOGGERS

if TYPE_CHECKING:
    from point_diffusion.data.source import Source

STYLE = "callbacks.reconstruction.style"


def part_problems(settings: Mapping[str, Any], _: object) -> Iterator[str]:
    """What is wrong with loggers and callbacks, unless all of them are the shipped ones."""
    keys = {"_target_", "name", "version", "default_hp_metric"}  # of the shipped ones
    nodes = loggers(settings["logger"]).values()
    shipped = all(set(node) <= keys and node["_target_"] in FILE_LOGGERS for node in nodes)
    if not shipped or user_callbacks(settings):
        from point_diffusion.training.checks.rehearsal import rehearse

        yield from rehearse(settings)


def own_part_problems(settings: Mapping[str, Any], source: "Source") -> Iterator[str]:
    """What is wrong with networks, samplers and the like that are registered by the user."""
    from point_diffusion.training.checks.own_parts import try_own_parts

    yield from try_own_parts(settings, source)


def style_problems(settings: Mapping[str, Any], _: object) -> Iterator[str]:
    """What is wrong with the style of pictures."""
    if (style := select(settings, STYLE)) is not None:
        from point_diffusion.report.style import check_style

        try:
            check_style(style, STYLE)
        except (UsageError, ValueError) as error:
            yield str(error)
