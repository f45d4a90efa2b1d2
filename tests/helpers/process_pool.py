"""Runs command lines of the scripts, each in a fork of one process that has imported all there is: a process of
its own, but for the seconds that importing takes.

    python -m helpers.process_pool    reads from stdin and answers on stdout, a line of JSON for each:
                       {"script", "arguments", "folder", "scratch", "limits", "env"} -> {"pid"}, and begins;
                       {"pid"} -> {"code"}, null while it runs
"""

import atexit
import gc
import json
import os
import pkgutil
import resource
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

IMPORTED = (
    "hydra",
    "lightning",
    "matplotlib.pyplot",
    "ot",
    "rich.console",
    "rich.progress",
    "scipy.stats",
    "sklearn.datasets",
    "sklearn.ensemble",
    "sklearn.neighbors",
    "torch.utils.tensorboard",
)
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


class Process:
    """A command line that runs, to be treated as a subprocess.Popen with text pipes."""

    def __init__(self, ask, script, arguments, folder, scratch, limits=(), env=None):
        self._ask, self.returncode = ask, None
        scratch.mkdir()
        case = {"script": script, "arguments": list(arguments), "limits": list(limits), "env": env or {}}
        self.pid = ask({**case, "folder": str(folder), "scratch": str(scratch)})["pid"]
        self.stdout, self.stderr = ((scratch / name).open(errors="replace") for name in ("out", "err"))

    def poll(self):
        if self.returncode is None:
            self.returncode = self._ask({"pid": self.pid})["code"]
        return self.returncode

    def wait(self, timeout=None):
        begun = time.monotonic()
        while self.poll() is None:
            if timeout is not None and time.monotonic() - begun > timeout:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return self.returncode

    def communicate(self, timeout=None):
        self.wait(timeout)
        return self.stdout.read(), self.stderr.read()

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def begin(script, arguments, folder, scratch, limits, env):
    """Start a command line; what it says goes to files in ``scratch``."""
    said = [os.open(Path(scratch, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("out", "err")]
    child = os.fork()
    for number, file in zip((1, 2), said, strict=True):
        if child == 0:
            os.dup2(file, number)
        os.close(file)
    if child:
        return child
    os.chdir(folder)
    os.environ.update(env)
    for name, size in limits:
        resource.setrlimit(getattr(resource, name), (size, size))
    sys.argv = [str(SCRIPTS / f"{script}.py"), *arguments]
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def code_of(pid, ended={}):  # noqa: B006, remembered from call to call
    if pid not in ended:
        done, how = os.waitpid(pid, os.WNOHANG)
        if not done:
            return None
        ended[pid] = os.waitstatus_to_exitcode(how)
    return ended[pid]


def modules():
    """The names of the project's modules."""
    import point_diffusion

    found = pkgutil.walk_packages(point_diffusion.__path__, "point_diffusion.")
    return [each.name for each in found if not each.name.endswith("__main__")]


if __name__ == "__main__":
    import importlib

    import torch

    for name in (*IMPORTED, *modules()):
        importlib.import_module(name)
    torch.set_num_threads(1)
    gc.freeze()  # else each fork's first collection copies all of it
    for line in sys.stdin:
        case = json.loads(line)
        answer = {"pid": begin(**case)} if "script" in case else {"code": code_of(case["pid"])}
        print(json.dumps(answer), flush=True)
