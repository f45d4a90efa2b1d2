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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from point_diffusion.cli import help  # noqa: A004, F401, its pages are what conf/ refers to
from point_diffusion.cli.command_line import CommandLine, command_line
from point_diffusion.cli.explain import explain
from point_diffusion.cli.quoting import quote_override
from point_diffusion.cli.variables import keep_harmless
from point_diffusion.common.errors import FULL_ERROR, UsageError, first_line, format_error
from point_diffusion.common.signals import SIGNALS, exit_code, raise_if_stopped, raise_stopped
from point_diffusion.config.own_parts import register
from point_diffusion.runs.sweeps import sweep_jobs

CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # kinds of characters, as Unicode counts them


def run(main: Callable[[], Any], name: str, trains: bool = False) -> None:
    """Call a script's Hydra main; whatever a user did wrong ends in one line on stderr and exit code 2.

    ``HYDRA_FULL_ERROR=1`` shows the traceback instead.

    Args:
        main: decorated by ``hydra.main``.
        name: of its config.
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
            refuse(f"{argument}: not here, it would execute what is in the file; resume=RUN resumes a run")
    typed = _typed(name, trains)
    keep_harmless()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not all terminals know all signs
    logging.raiseExceptions = False  # where a log can't be written, neither can what would be said of that
    single = trains and not typed.flags.multirun
    # a single training's until it takes them itself; else half-written files are cleared away
    for number in SIGNALS:
        signal.signal(number, _stop if single else raise_stopped)
    if not single:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        typed.check()
        register(typed.plugins)
        if typed.flags.help:
            _show_help(typed)
        elif typed.flags.cfg and typed.flags.multirun:
            _show_jobs(typed, main)
        else:
            # settings that Hydra's own help would not know
            sys.argv[1:] = [*typed.flag_words, *([] if typed.flags.hydra_help else typed.overrides)]
            main()
    except KeyboardInterrupt:
        refuse("stopped", code=130)
    except UsageError as error:
        refuse(str(error))
    except BrokenPipeError:  # read no further, as by head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exit_code(signal.SIGPIPE))
    except Exception as error:
        if full_error:
            raise
        if isinstance(error, OSError) and not isinstance(error, HydraException):  # the machine's fault
            refuse(format_error(error))
        if line := explain(error, typed):
            refuse(line)
        refuse(_bug(error), code=1)


def _typed(name: str, trains: bool) -> CommandLine:
    """What was typed, as Hydra's grammar takes it."""
    typed = command_line(name, sys.argv[1:])
    overrides = list(typed.overrides)
    if not trains:
        if typed.flags.multirun:
            refuse("-m: sweeps are for train.py")
        for override in overrides:
            if re.match(r"[+~]*hydra([./@=]|$)", override):
                refuse(f"{override}: Hydra's own settings are for train.py")
        overrides = [re.sub(r"^sampler\.", "++sampler.", override) for override in overrides]
    elif any(override.startswith("resume=") for override in overrides):
        # the run's own choices, which may have other keys than those that a command begins with
        own = r"^(data|schedule|model|sampler)\."
        overrides = [re.sub(own, r"++\1.", override) for override in overrides]
    return replace(typed, overrides=[quote_override(override) for override in overrides])


def _show_help(typed: CommandLine) -> None:
    """What Hydra shows, without the list of all its own choices, which takes as long as the rest."""
    overrides = typed.single_values() if typed.flags.multirun else typed.overrides
    print(typed.compose(overrides, return_hydra_config=True).hydra.help.template)


def _show_jobs(typed: CommandLine, main: Callable[[], Any]) -> None:
    """The settings of each job of a sweep, as documents of one YAML stream."""
    single = typed.single_values()
    config = typed.compose(single, return_hydra_config=True)
    flags = [word for word in typed.flag_words if word not in ("-m", "--multirun")]
    jobs = list(sweep_jobs(config.hydra.sweeper.get("params") or {}, typed.overrides))
    if not jobs:
        refuse("--cfg: the jobs of a search are not known before it; without -m it shows their settings")
    for job in jobs:
        print(f"--- # {' '.join(job)}")
        sys.argv[1:] = [*flags, *single, *job]
        main()


def _stop(number: int, _: Any) -> None:
    """End a process that imports and sets up: some libraries swallow exceptions meanwhile."""
    os.write(2, b"error: stopped before the training began; the same command begins anew\n")
    os._exit(exit_code(number))


def _wrong_flag(_: argparse.ArgumentParser, message: str) -> NoReturn:
    refuse(f"{message}; KEY=VALUE changes a setting, --help lists all")


def _bug(error: Exception) -> str:
    known = isinstance(error, (HydraException, OmegaConfBaseException))
    text = first_line(error) if known else format_error(error)
    return f"{text} (HYDRA_FULL_ERROR=1 shows where)"


def refuse(text: str, code: int = 2) -> NoReturn:
    """Print ``text`` as errors, line by line, and exit with ``code``; after a signal, with that signal's alone."""
    raise_if_stopped()
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr)
    sys.exit(code)


@contextmanager
def refusing() -> Iterator[None]:
    """Refuse at once, by SystemExit: Hydra turns an Exception of its callbacks into a warning."""
    try:
        yield
    except UsageError as error:
        refuse(str(error))
    except Exception as error:
        if os.environ.get(FULL_ERROR):
            traceback.print_exc()
        if isinstance(error, OSError):  # the machine's fault
            refuse(format_error(error))
        refuse(_bug(error), code=1)
