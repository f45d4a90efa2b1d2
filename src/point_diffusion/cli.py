"""What the scripts share: paths taken as typed, errors in one line, the help page."""

import argparse
import io
import logging
import os
import re
import signal
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from point_diffusion import config as schema
from point_diffusion.config import UsageError, first_line, nearest, reference, told
from point_diffusion.folders import CHECKOUT, typed_path
from point_diffusion.stopping import stop_early

CONF = CHECKOUT / "conf"
FULL_ERROR = "POINT_DIFFUSION_FULL_ERROR"  # the user's own HYDRA_FULL_ERROR; Hydra's is always set by then
PATH_KEYS = (
    "run",
    "ckpt_path",
    "resume",
    "sweep",
    "output",
    "output_dir",
    "data.path",
    "style",
    "callbacks.reconstruction.style",
    "hydra.run.dir",
    "hydra.sweep.dir",
)
# what the extra brings
PLUGINS = (
    "hydra/launcher/joblib",
    "hydra/launcher/submitit_local",
    "hydra/launcher/submitit_slurm",
    "hydra/sweeper/optuna",
)
EXAMPLES = """\
python scripts/train.py trainer.max_epochs=200            a first look, in seconds
python scripts/train.py model.num_units=256 accelerator=cpu
python scripts/train.py -m num_step=20,50,100             a sweep: one run for each value
python scripts/compare.py                                 what the newest sweep has found, as a table and a chart
python scripts/train.py resume=RUN trainer.max_epochs=6000    go on with a run, in its own folder
tensorboard --logdir outputs --samples_per_plugin images=1000    see curves and pictures of all runs"""


CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # kinds of characters, as Unicode counts them

Problems = Callable[[DictConfig], Iterable[str]]


def run(main: Callable[[], Any], problems: Problems, trains: bool = False) -> None:
    """Call a script's Hydra main; whatever a user did wrong ends in one line on stderr and exit code 2.

    ``HYDRA_FULL_ERROR=1`` shows the traceback instead.

    Args:
        main: decorated by ``hydra.main``, with the script's own name for its config.
        problems: names the wrong values of that config, a line each.
        trains: other scripts look at a run that is there: no sweeps, and any key of its sampler can be changed.
    """
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    if full_error:
        os.environ[FULL_ERROR] = "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and the printing is ours
    argparse.ArgumentParser.error = _wrong_flag  # type: ignore[assignment,method-assign]
    for argument in sys.argv[1:]:
        if any(unicodedata.category(letter) in CONTROLS for letter in argument):
            refuse(f"{argument!r}: must not hold line breaks or other control characters")
        if argument.startswith("--e"):
            refuse(f"{argument}: not here, it would execute what is in the file; resume=RUN goes on with a run")
    # -m first: argparse takes no flag between the overrides
    arguments = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))
    if not trains:
        for argument in arguments:
            if argument in ("-m", "--multirun"):
                refuse("-m: sweeps are for train.py")
            if re.match(r"[+~]*hydra([./@=]|$)", argument):
                refuse(f"{argument}: Hydra's own settings are for train.py")
        arguments = [re.sub(r"^sampler\.", "++sampler.", argument) for argument in arguments]
    sys.argv[1:] = [as_typed(argument) for argument in arguments]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not all terminals know all signs
    logging.raiseExceptions = False  # where a log can't be written, neither can what would be said of that
    signal.signal(signal.SIGTERM, stop_early)  # half-written files are cleared away
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if trains and sys.argv[1:2] not in (["-m"], ["--multirun"]):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)  # until training takes the signals itself
    try:
        if "--help" in sys.argv or "-h" in sys.argv:
            _show_help()
        else:
            main()
    except KeyboardInterrupt:
        refuse("stopped", code=130)
    except UsageError as error:
        refuse(str(error))
    except Exception as error:
        if full_error:
            raise
        if isinstance(error, OSError) and not isinstance(error, HydraException):  # the machine's fault
            refuse(told(error))
        if lines := explain(sys.argv[1:], problems):
            refuse("\n".join(lines))
        refuse(_bug(error), code=1)


def _show_help() -> None:
    """What Hydra shows, without the list of all its own choices, which takes as long as the rest."""
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    with initialize_config_dir(str(CONF), version_base=None):
        print(compose(Path(sys.argv[0]).stem, overrides, return_hydra_config=True).hydra.help.template)


def _stop(number: int, _: Any) -> None:
    """End a process that imports and sets up: some libraries swallow exceptions meanwhile."""
    os.write(2, b"error: stopped before the training began; the same command begins anew\n")
    os._exit(128 + number)


def _wrong_flag(_: argparse.ArgumentParser, message: str) -> NoReturn:
    refuse(f"{message}; KEY=VALUE changes a setting, --help tells of all")


def _bug(error: Exception) -> str:
    known = isinstance(error, (HydraException, OmegaConfBaseException))
    text = first_line(error) if known else told(error)
    return f"{text} (HYDRA_FULL_ERROR=1 shows where)"


def refuse(text: str, code: int = 2) -> NoReturn:
    """Print ``text`` as errors, line by line, and exit with ``code``."""
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr)
    sys.exit(code)


@contextmanager
def refusing() -> Iterator[None]:
    """Refuse at once, by SystemExit: Hydra turns an Exception of its callbacks into a warning, and goes on."""
    try:
        yield
    except UsageError as error:
        refuse(str(error))
    except Exception as error:
        if os.environ.get(FULL_ERROR):
            traceback.print_exc()
        if isinstance(error, OSError):  # the machine's fault
            refuse(told(error))
        refuse(_bug(error), code=1)


def as_typed(argument: str) -> str:
    """An argument such that Hydra's grammar takes it as the user means it.

    The values of path-valued keys are quoted: they may hold ``=``, commas, spaces and brackets. ``logger=false``
    means the choice of that name, not a truth value.
    """
    name, equals, value = argument.partition("=")
    if name == "runs":
        return f"runs=[{','.join(map(_quoted, _paths(value)))}]" if value not in ("", "null") else argument
    if name == "logger" and value.lower() in ("false", "null", "none"):
        return "logger='false'"
    if not equals or name.lstrip("+") not in PATH_KEYS or value in ("", "null") or value[0] in "'\"":
        return argument
    return f"{name}={_quoted(value)}"


def _quoted(value: str) -> str:
    """A text in the quotes of Hydra's grammar."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"'{escaped}'"


def _paths(value: str) -> list[str]:
    """The paths in a list, [PATH,PATH,...], each of which may hold commas: those that are there are known."""
    inner = value[1:-1] if value[0] == "[" and value[-1] == "]" else value
    parts = inner.split(",") if inner.strip() else []
    paths = []
    while parts:
        names = ((n, ",".join(parts[:n]).strip("'\" ")) for n in range(len(parts), 0, -1))
        length = next((n for n, name in names if os.path.exists(typed_path(name))), 1)  # noqa: PTH110, long names
        paths.append(",".join(parts[:length]).strip("'\" "))
        parts = parts[length:]
    return paths


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
                for single in _choices(override, multirun):
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


def _choices(override: str, multirun: bool) -> list[str]:
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
    choices = _options(key)
    if absent and not choices:
        choices = re.findall(r"^\t(\w+)$", str(error), re.MULTILINE)  # Hydra's own groups
    if choices:
        hint = _only_if_close(override.partition("=")[2], choices)
        return f"{override}: must be one of {', '.join(choices)}{hint}"
    section, _, last = key.rpartition(".")
    node = OmegaConf.select(config, section) if section else config
    if isinstance(node, DictConfig) and last not in node:
        return f"{override}: no such key{nearest(last, [str(name) for name in node if name != 'hydra'], section)}"
    if section and node is None:
        return f"{override}: no such section{_only_if_close(section, [str(name) for name in config])}"
    return f"{override}: {first_line(error)}"


def _options(group: str) -> list[str]:
    """The choices of a config group; none where ``group`` is not one."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _only_if_close(name: str, names: list[str]) -> str:
    suggestion = nearest(name, names)
    return suggestion if "did you mean" in suggestion else ""


def help_page(*, _root_: DictConfig) -> str:
    """The text of ``--help``: examples and the reference of keys, with the values as composed."""
    groups = sorted(
        path for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "callbacks", "trainer")
    )
    choices = [f"  {group.name}={'|'.join(_options(group.name))}" for group in groups]
    page = [
        "Train a denoising diffusion model on a point set; KEY=VALUE changes a setting.",
        f"\nExamples\n{EXAMPLES}",
        "\nParts to choose from\n" + "\n".join(choices),
        reference(_root_),
        "\n-m, --multirun sweeps over KEY=VALUE,VALUE,...; --cfg job prints the settings without running;",
        "--hydra-help tells of Hydra's own flags. RUN is a run's folder.",
    ]
    return "\n".join(page)


def key_page(script: str, *, _root_: DictConfig) -> str:
    """The reference of keys of a script that looks at a run that is there."""
    keys = {"evaluate": schema.Evaluate, "sample": schema.Sample, "animate": schema.Animate}.get(script)
    sections = {"": schema.Compare} if keys is None else {"": keys, "sampler": schema.Sampler}
    return reference(_root_, sections)


OmegaConf.register_new_resolver("key_page", key_page, replace=True)
OmegaConf.register_new_resolver("help_page", help_page, replace=True)
