"""A trained network in other hands: what the page on runs shows, run."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.small_runs import CHECKOUT
from point_diffusion import load_run

PAGE = (CHECKOUT / "src/point_diffusion/runs/README.md").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporter, on itself
def test_the_program_of_the_page_takes_a_network_elsewhere(trained, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    monkeypatch.chdir(tmp_path)
    (program,) = (each for each in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "onnx" in each)
    exec(program.replace("outputs/runs/DATE/TIME", str(trained)), {})
    assert {path.name for path in Path().iterdir()} == {"network.onnx", "network.pt2", "weights.pt"}

    run = load_run(trained)
    network, steps = run.diffusion.network, run.schedule.num_step
    model = onnx.load("network.onnx")
    onnx.checker.check_model(model)
    evaluator = ReferenceEvaluator(model)
    loaded = torch.export.load("network.pt2").module()
    weights = torch.load("weights.pt", weights_only=True)
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    names = [each.name for each in model.graph.input]
    for count in (2, 9, 1000):
        x, t = torch.randn(count, 2), torch.randint(steps, (count,))
        with torch.no_grad():
            expected = network(x, t)
            torch.testing.assert_close(loaded(x, t), expected)
        (found,) = evaluator.run(None, dict(zip(names, (x.numpy(), t.numpy()), strict=True)))
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
