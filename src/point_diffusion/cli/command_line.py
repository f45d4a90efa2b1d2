"""A command line as typed: Hydra's flags, wherever they stand, and the settings; composed as Hydra does."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from point_diffusion.common.errors import UsageError
from point_diffusion.common.paths import CHECKOUT, typed_path
from point_diffusion.common.text import suggest
from point_diffusion.config.schema import CHOOSERS

CONF = CHECKOUT / "conf"
SEARCH_PATH = "hydra.searchpath"


@dataclass(frozen=True)
class CommandLine:
    """What was typed after a script's name.

    Attributes:
        script: the name of the script's config.
        flags: Hydra's, as its own parser reads them.
        flag_words: the words that hold them.
        overrides: all other words.
    """

    script: str
    flags: argparse.Namespace
    flag_words: Sequence[str]
    overrides: Sequence[str]

    @property
    def config_name(self) -> str:
        """Of the config that all begins with."""
        return str(self.flags.config_name or self.script).removesuffix(".yaml")

    @property
    def config_folders(self) -> list[Path]:
        """Where configs are looked for; the first that has one counts: ``conf/``, then the user's own."""
        return [folder for _, folder in self._places()]

    def _places(self) -> list[tuple[str, Path]]:
        """These, each with what was typed for it."""
        path, own = self.flags.config_path, self.flags.config_dir
        # Hydra takes --config-path as seen from the script
        places = [(f"--config-path={path}", CONF if path is None else CHECKOUT / "scripts" / path)]
        if own is not None:
            places.append((f"--config-dir={own}", typed_path(own)))
        for text in [each for each in self.overrides if each.partition("=")[0] == SEARCH_PATH][-1:]:
            value = OverridesParser.create().parse_override(text).value()
            names = [str(name) for name in value] if isinstance(value, list) else []
            found = [typed_path(name.removeprefix("file://")) for name in names if not name.startswith("pkg://")]
            places.extend((text, folder) for folder in found)
        return places

    def check(self) -> None:
        """Refuse what Hydra would not find, would not read, or names in words of its own.

        Raises:
            UsageError: a folder or a config is not there, a config of the user's is hidden by one of the same
                name, or flags don't go together.
        """
        names = ("--run", "--cfg", "--info", "--multirun", "--shell-completion")
        asked = [name for name in names if getattr(self.flags, name.lstrip("-").replace("-", "_"))]
        if len(asked) > 1 and asked != ["--cfg", "--multirun"]:
            raise UsageError(f"{' and '.join(asked)}: only one of them can be done")
        if self.flags.resolve and not self.flags.cfg:
            raise UsageError("--resolve: needs --cfg")
        for typed, folder in self._places():
            if not folder.is_dir() and folder == CONF:
                raise UsageError(f"{CONF}: no such folder; it belongs beside scripts/, or --config-path names it")
            if not folder.is_dir():
                raise UsageError(f"{typed}: no such folder")
        first, *own = folders = self.config_folders
        for folder in own:
            for name in sorted(file.relative_to(folder) for file in folder.rglob("*.yaml")):
                if (first / name).is_file():
                    raise UsageError(f"{folder / name}: would not be read, {first / name} is; rename it")
        if not any((folder / f"{self.config_name}.yaml").is_file() for folder in folders):
            raise UsageError(f"--config-name={self.config_name}: no {self.config_name}.yaml in {first}")

    def compose(self, overrides: Sequence[str], **options: Any) -> DictConfig:
        """The config with ``overrides``, as Hydra's main composes it; ``options`` go to its ``compose``."""
        search_path = create_config_search_path(str(self.config_folders[0]))
        if self.flags.config_dir is not None:
            place = f"file://{typed_path(self.flags.config_dir)}"
            search_path.prepend("command-line", place, anchor=SearchPathQuery(provider="schema"))
        version.setbase(None)
        before = GlobalHydra.get_state()  # of a program that uses Hydra, too
        GlobalHydra.instance().clear()
        Hydra.create_main_hydra2(self.script, search_path)
        try:
            return compose(self.config_name, list(overrides), **options)
        finally:
            GlobalHydra.instance().clear()
            GlobalHydra.set_state(before)

    def parsed(self) -> list[Override]:
        """The overrides, as Hydra's grammar reads them."""
        return OverridesParser.create().parse_overrides(list(self.overrides))

    @property
    def plugins(self) -> list[str]:
        """The files that are named by ``plugins``."""
        for text in reversed(self.overrides):
            if text.partition("=")[0] == "plugins":
                value = OverridesParser.create().parse_override(text).value()
                return [str(name).strip("'\"") for name in value] if isinstance(value, list) else []
        return []

    def single_values(self) -> list[str]:
        """The overrides, but for those that a sweep is over."""
        return [str(each.input_line) for each in self.parsed() if not each.is_sweep_override()]

    def choices(self, group: str) -> list[str]:
        """The choices of a config group; none where ``group`` is not one."""
        return group_choices(self.config_folders, group)


def command_line(script: str, words: Sequence[str]) -> CommandLine:
    """Take ``words`` apart; wrong flags end in ``argparse.ArgumentParser.error``."""
    flags = get_args_parser().parse_intermixed_args(list(words))
    flag_words, overrides = [], list(flags.overrides)
    for word in words:
        if overrides and word == overrides[0]:
            overrides.pop(0)
        else:
            flag_words.append(word)
    return CommandLine(script, flags, flag_words, flags.overrides)


def group_choices(folders: Sequence[Path], group: str) -> list[str]:
    """The choices of a config group in some folders, deeper ones as ``FOLDER/NAME``; none without the group."""
    files = [(folder / group, file) for folder in folders for file in (folder / group).rglob("[!_]*.yaml")]
    names = {file.relative_to(place).with_suffix("").as_posix() for place, file in files}
    return sorted(names | set(CHOOSERS[group][1].added)) if group in CHOOSERS else sorted(names)


def composed_from(config: DictConfig) -> list[Path]:
    """The folders that a config, with Hydra's own settings, was composed from."""
    return [Path(each.path) for each in config.hydra.runtime.config_sources if each.schema == "file"]


def no_such_choice(group: str, choice: str, choices: Sequence[str]) -> str:
    """What to say of a choice that a group has not."""
    return f"{group}={choice}: must be one of {', '.join(choices)}{suggest(choice, choices, max_listed=0)}"
