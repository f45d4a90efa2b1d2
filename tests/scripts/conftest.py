"""Scripts as users run them: real processes, real folders. All of it is slow; pytest -m "not slow" is without."""

import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from helpers.browser import Opened, chromium
from helpers.process_pool import Process
from helpers.shared import made_once
from helpers.small_runs import CHECKOUT, LONG, SWEPT

HERE = Path(__file__).parent
# a process finds helpers.planted_callbacks as the tests do
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(CHECKOUT / "tests"), os.environ.get("PYTHONPATH", "")]),
}


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """Start a script's command line in a process of its own that need not import anything: see process_pool.py."""
    server = subprocess.Popen(
        [sys.executable, "-m", "helpers.process_pool"],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    scratch, numbers = tmp_path_factory.mktemp("forks"), itertools.count()

    def ask(question):
        server.stdin.write(json.dumps(question) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    def _forks(
        script: str,
        arguments: Iterable[str],
        folder: Path | str,
        limits: Iterable = (),
        env: dict[str, str] | None = None,
    ) -> Process:
        return Process(ask, script, arguments, folder, scratch / str(next(numbers)), limits, env)

    yield _forks
    server.stdin.close()
    server.wait()


@pytest.fixture
def script(tmp_path, forks):
    """Run a script as a user does, from a folder of its own; outputs go to tmp_path/outputs.

    ``fresh``: in a process that imports by itself, as where the environment is looked at by then.
    """

    def _script(
        name: str, *arguments: str, check: bool = True, env: dict[str, str] | None = None, fresh: bool = False
    ):
        typed = [*arguments, f"output_dir={tmp_path}/outputs"]
        # a launcher's workers want a parent that ends as processes do
        if not fresh and not any(each.startswith("hydra/launcher") for each in arguments):
            process = forks(name, typed, tmp_path, env=env)
            said = process.communicate(timeout=300)
            done = subprocess.CompletedProcess(typed, process.returncode, *said)
        else:
            command = [sys.executable, str(CHECKOUT / "scripts" / f"{name}.py"), *typed]
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env={**ENVIRONMENT, **(env or {})},
                capture_output=True,
                text=True,
                timeout=300,
            )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return _script


@pytest.fixture
def start(tmp_path, forks):
    """Start a training in a process of its own (``fresh``: one that imports by itself); kill it in the end."""
    processes = []

    def _start(*arguments, fresh=False, env=None, limits=()):
        arguments = [*arguments, f"output_dir={tmp_path}/outputs"]
        if not fresh:
            processes.append(forks("train", arguments, tmp_path, limits, env))
            return processes[-1]
        command = [sys.executable, f"{CHECKOUT}/scripts/train.py", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        both = {**ENVIRONMENT, **(env or {})}

        def limit():
            for name, size in limits:
                resource.setrlimit(getattr(resource, name), (size, size))

        processes.append(subprocess.Popen(command, cwd=tmp_path, env=both, preexec_fn=limit, **pipes))
        return processes[-1]

    yield _start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def whole(forks, tmp_path_factory):
    """A run that nobody stops; tests only read it."""

    def train(folder):
        process = forks("train", [*LONG, f"hydra.run.dir={folder}/run", f"output_dir={folder}"], folder)
        assert process.wait(timeout=300) == 0

    return made_once(tmp_path_factory, "whole", train) / "run"


@pytest.fixture
def run(whole, tmp_path):
    """A copy of it to work with."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory, forks):
    """One real sweep, two of whose jobs fail; its folder, and what it said. Tests only read it."""
    command = ["-m", "num_step=5,0,10", "seed=1,2", *SWEPT]

    def train(home):
        process = forks("train", [*command, f"output_dir={home}/outputs"], home)
        said = process.communicate(timeout=300)
        (home / "said.json").write_text(json.dumps([process.returncode, *said]))

    home = made_once(tmp_path_factory, "sweep", train)
    (folder,) = home.glob("outputs/sweeps/*/*")
    return folder, subprocess.CompletedProcess(command, *json.loads((home / "said.json").read_text()))


@pytest.fixture
def sweep(finished, tmp_path):
    """A copy of it to work with."""
    folder = tmp_path / "outputs/sweeps/2026-01-01/00-00-00"
    shutil.copytree(finished[0], folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    """Chromium, for the tests of one file alone: its event loop is in the way of others'."""
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser):
    """Open a page; in the end nothing may have gone wrong in it."""
    pages = []

    def _opened(file, **options):
        pages.append(Opened(browser, file, **options))
        return pages[-1]

    yield _opened
    for each in pages:
        assert each.wrong == []
        each.close()
