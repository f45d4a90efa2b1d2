"""The page of several runs."""

import numpy as np

from helpers.explored import points, slide, written
from point_diffusion import load_run


def test_runs_side_by_side_keep_step(finished, forks, opened, tmp_path):
    runs = [finished[0] / f"num_step={number},seed=1" for number in (5, 10)]
    written(forks, tmp_path, f"runs=[{runs[0]},{runs[1]}]", "max_megabytes=20")
    page = opened(tmp_path / "page.html")
    assert page.page.locator("#differences thead").inner_text().split() == ["run", "num_step"]
    for share in (1, 0.4, 0):
        slide(page, share)
        assert page.run("explorer.panels.map((each) => each.t)") == [5 * share, 10 * share]
        for index, folder in enumerate(runs):
            t, states = load_run(folder).diffusion.sample_trajectory(150, 3)
            if share * (5, 10)[index] in t:
                expected = states[list(t).index(share * (5, 10)[index])].numpy()
                assert np.abs(points(page, index) - expected).max() < 1e-3 * np.abs(expected).max()


def test_a_sweep_is_a_matrix_of_panels(finished, forks, opened, tmp_path):
    said = written(forks, tmp_path, f"sweep={finished[0]}")
    assert said.count("left out: num_step=0,seed=") == 2
    page = opened(tmp_path / "page.html")
    assert page.page.locator(".panels.many canvas").count() == 4
    assert page.page.locator(".panels thead").inner_text().split() == ["num_step=5", "num_step=10"]
    slide(page, 0)
    (shown,) = {page.run("explorer.panels.map((each) => each.t).join()")}
    assert shown == "0,0,0,0"
