"""Runs command lines of the scripts, each in a fork of one process that has imported all there is: a process of
its own, but for the seconds that importing takes.

    python forks.py    reads from stdin and answers on stdout, a line of JSON for each:
                       {"script", "arguments", "folder", "limit"} -> {"code", "out", "err"}
"""

import atexit
import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def run(script, arguments, folder, limit):
    """The exit code (None: it took longer than ``limit`` seconds), and what was said on stdout and stderr."""
    scratch = Path(tempfile.mkdtemp())
    said = [scratch / name for name in ("out", "err")]
    begun, child = time.monotonic(), os.fork()
    if child == 0:
        os.chdir(folder)
        for number, path in zip((1, 2), said, strict=True):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
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
    code = None
    while code is None and time.monotonic() - begun < limit:
        done, ended = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(ended)
        time.sleep(0.01)
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    texts = [path.read_text(errors="replace") for path in said]
    shutil.rmtree(scratch)
    return {"code": code, "out": texts[0], "err": texts[1]}


if __name__ == "__main__":
    import sklearn.datasets  # noqa: F401
    import torch
    from torch.utils import tensorboard  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)
