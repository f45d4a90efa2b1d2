"""A notebook in a fresh kernel: the front page's commands, its program, and a training from Python."""

import os
import re
import sys
from pathlib import Path

import pytest

from helpers.small_runs import CHECKOUT

PAGE = (CHECKOUT / "README.md").read_text()
TRAINED = ["trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1", "data.num_points=2500"]
SHORT = {
    "train": " ".join([*TRAINED, "callbacks.quality.final_num_samples=500", "output_dir=outputs"]),
    "evaluate": "output_dir=outputs num_samples=500 curve_steps=[5]",
    "sample": "output_dir=outputs",
}
TRAINING = """
from hydra import compose, initialize_config_dir
from point_diffusion import train

with initialize_config_dir({conf!r}, version_base=None):
    config = compose("train", {overrides!r})
metrics = train(config)
"""
AFTERWARDS = """
%matplotlib inline
import matplotlib.pyplot as plt
from IPython.display import Image, display
from pathlib import Path

plt.plot([1, 2])
plt.show()
display(Image(str(sorted(Path("outputs").glob("runs/*/*/figures/reconstruction*.png"))[-1])))
"""


@pytest.mark.long
def test_commands_and_programs_run_in_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    (tmp_path / "scripts").symlink_to(CHECKOUT / "scripts")
    block = PAGE.partition("## Commands")[2].partition("##")[0]
    commands = []
    for name, arguments in re.findall(r"^python scripts/(\w+)\.py (.*)$", block, re.MULTILINE):
        typed = re.sub(r" +#.*| seed=1,2,3", "", arguments)
        typed = typed.replace("20,50,100", "5,10").replace("1_000_000", "5_000")
        commands.append(f"!python scripts/{name}.py {typed} {SHORT[name]}")
    (program,) = re.findall(r"```python\n(import torch\n.*?)```", PAGE, re.DOTALL)
    training = TRAINING.format(conf=str(CHECKOUT / "conf"), overrides=SHORT["train"].split())
    cells = [*commands, program.replace("2_000)", "50)").replace("2_000 ", "50 "), training, AFTERWARDS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    nbformat.write(notebook, tmp_path / "notebook.ipynb")

    def said(cell):
        return "".join(each.get("text", "") for each in cell.outputs)

    for cell in notebook.cells:
        assert "error" not in said(cell).lower(), said(cell)
        assert not [each for each in cell.outputs if each.output_type == "error"]
    by_command = dict(zip(commands, map(said, notebook.cells), strict=False))
    assert all(by_command.values())
    first, sweep = commands[0], next(each for each in commands if " -m " in each)
    assert "Training: 100%" in by_command[first]  # the bar
    assert "run folder: outputs/runs/" in by_command[first]
    assert "num_step" in by_command[sweep]
    *_, program_cell, training_cell, shown = notebook.cells
    assert re.search(r"worth [\d,]+", said(program_cell))
    assert "Training: 100%" in said(training_cell)
    pictures = [each for each in shown.outputs if "image/png" in each.get("data", {})]
    assert len(pictures) == 2
    assert (tmp_path / "points.npy").exists()
