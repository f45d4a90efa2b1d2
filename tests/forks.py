"""Runs many command lines of the scripts, each in a fork of one process that has imported all there is.

python forks.py CASES RESULTS    CASES: JSON, a list of {"script", "arguments", "folder"}
"""

import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
LIMIT = 60  # seconds


def run(script, arguments, folder):
    """Exit code (None: it hung), what was said on stdout and stderr, and the seconds it took."""
    folder = Path(folder)
    said = [folder.parent / f"{folder.name}.{name}" for name in ("out", "err")]
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
            code = 99
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    while time.monotonic() - begun < LIMIT:
        done, ended = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(ended)
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        code = None
    texts = [path.read_text(errors="replace") for path in said]
    return {"code": code, "out": texts[0], "err": texts[1], "seconds": time.monotonic() - begun}


if __name__ == "__main__":
    import sklearn.datasets  # noqa: F401
    import torch
    from torch.utils import tensorboard  # noqa: F401

    torch.set_num_threads(1)
    cases = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps([run(**case) for case in cases]))
