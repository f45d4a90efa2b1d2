"""What is imported, and when."""

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "wrong", ["seed=-1", "sead=1", "schedule=none", "schedule.beta_start=0.9", "resume=nowhere"]
)
def test_a_wrong_value_answers_before_torch_is_imported(script, wrong):
    done = script("train", wrong, check=False, env={"PYTHONPROFILEIMPORTTIME": "1"}, fresh=True)
    assert done.returncode == 2
    imported = re.findall(r"^import time: .*\| +(\w+)$", done.stderr, re.MULTILINE)
    assert "hydra" in imported
    assert not {"torch", "lightning", "matplotlib", "sklearn"} & set(imported)


def test_nothing_stays_open_and_no_screen_is_needed():
    code = """
import gc, sys, weakref
import numpy as np
from point_diffusion.report import charts, figures, style
points = np.random.default_rng(0).normal(size=(100, 2))
made = [figures.data(points), figures.forward_process([0, 1], [points] * 2, points)]
made.append(charts.training_curves({"train/loss": points.T}))
for figure in made:
    style.pixels(figure)
alive = [weakref.ref(figure) for figure in made]
del made, figure
gc.collect()
assert not any(ref() for ref in alive), alive
assert "matplotlib.pyplot" not in sys.modules
"""
    clean = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-c", code], check=True, env=clean)
