"""The pages of --help: the reference of keys, with the values as composed."""

import inspect
import re
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from point_diffusion.cli.command_line import composed_from, group_choices
from point_diffusion.common.text import show
from point_diffusion.config import schema, script_schema
from point_diffusion.config.keys import allowed, known
from point_diffusion.config.schema import CHOOSERS, SECTIONS
from point_diffusion.config.validate import ARGUMENT, chosen_arguments


def reference(config: DictConfig, sections: Mapping[str, type] = SECTIONS) -> str:
    """All keys by section, with their values in ``config``, what they take and what they mean.

    Keys that ``config`` does not hold, as they belong to other choices or come from a run, stand without values.
    """
    lines = []
    for section, keys in sections.items():
        node = OmegaConf.select(config, section) if section else config
        if not isinstance(node, DictConfig):
            continue
        hints = typing.get_type_hints(keys)
        lines.append(f"\n{section or 'top level'}: {(keys.__doc__ or '').strip()}")
        for name, item in known(keys).items():
            full = f"{section}.{name}" if section else name
            value = f"={show(node[name])}" if name in node else ""
            takes = "" if hints[name] is Any else f" [{allowed(item, hints[name])}]"
            lines.append(f"  {full + value:<42} {item.metadata['doc']}{takes}")
        lines.extend(_arguments(section, node, known(keys)))
    return "\n".join(lines)


def _arguments(section: str, node: DictConfig, keys: Collection[str]) -> Iterator[str]:
    """The keys that are arguments of what a section chooses, with what its docstring says of them."""
    if not (arguments := chosen_arguments(section, node, keys)):
        return
    chooser, registry = CHOOSERS[section]
    target = registry[node[chooser]]
    texts = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", inspect.getdoc(target) or "", re.MULTILINE)
    meant = {name: " ".join(text.split()) for name, text in texts}
    for name, kind in arguments.items():
        if name in node:
            takes = "" if kind is Any else f" [{allowed(ARGUMENT, kind)}]"
            yield f"  {f'{section}.{name}={show(node[name])}':<42} {meant.get(name, '')}{takes}"


EXAMPLES = """\
python scripts/train.py trainer.max_epochs=200            a first look, in seconds
python scripts/train.py model.num_units=256 accelerator=cpu
python scripts/train.py -m num_step=20,50,100             a sweep: one run for each value
python scripts/compare.py                                 what the newest sweep has found, as a table and a chart
python scripts/train.py resume=RUN trainer.max_epochs=6000    resume a run, in its own folder
tensorboard --logdir outputs --samples_per_plugin images=1000    see curves and pictures of all runs"""


def help_page(*, _root_: DictConfig) -> str:
    """The text of ``--help``: examples and the reference of keys, with the values as composed."""
    folders = composed_from(_root_)
    groups = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()} - {"hydra"}
    choices = []
    for group in sorted(groups):
        names, new = group_choices(folders, group), group not in _root_.hydra.runtime.choices
        if names and names != ["default"]:
            choices.append(f"  {'+' * new}{group}={'|'.join(names)}")
    page = [
        "Train a denoising diffusion model on a point set; KEY=VALUE changes a setting.",
        f"\nExamples\n{EXAMPLES}",
        "\nParts to choose from\n" + "\n".join(choices),
        reference(_root_),
        "\n-m, --multirun sweeps over KEY=VALUE,VALUE,...; --cfg job prints the settings without running;",
        "--config-dir=FOLDER adds experiments and choices of your own; --hydra-help lists Hydra's other flags.",
        "RUN is a run's folder.",
    ]
    return "\n".join(page)


def key_page(script: str, *, _root_: DictConfig) -> str:
    """The reference of keys of a script that looks at a run that is there."""
    keys = {
        "evaluate": script_schema.Evaluate,
        "sample": script_schema.Sample,
        "animate": script_schema.Animate,
        "explore": script_schema.Explore,
    }.get(script)
    shared = {"sampler": schema.Sampler, "data": script_schema.RunData, "figures": schema.Figures}
    sections = {"": script_schema.Compare} if keys is None else {"": keys, **shared}
    return reference(_root_, sections)


OmegaConf.register_new_resolver("key_page", key_page, replace=True)
OmegaConf.register_new_resolver("help_page", help_page, replace=True)
