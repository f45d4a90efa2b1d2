"""explore.py on real runs, and its pages in a real browser."""

import itertools
import json
import re
import shutil

import numpy as np
import polars as pl
import pytest
import torch

from helpers.explored import SMALL_PAGE, points, slide, written
from helpers.shared import made_once
from helpers.small_runs import SMALL
from point_diffusion import load_run
from point_diffusion.commands.animate import forward_frames
from point_diffusion.samplers import DDIM

ODD = "a \"b\" 'c' <i>d &amp; 中文"  # of a folder, a column and a class


@pytest.fixture(scope="module")
def page_of_run(trained, forks, tmp_path_factory):
    """The page of a small run in the plane; few states are stored, but of its own sampler."""
    asked = (f"run={trained}", "num_states=4")
    return made_once(tmp_path_factory, "explored", lambda to: written(forks, to, *asked)) / "page.html"


@pytest.fixture(scope="module")
def odd(forks, tmp_path_factory):
    """A run of a file with labels in three dimensions, whose names are hard to show, and its page."""

    def make(folder):
        draws = np.random.default_rng(0)
        names = [ODD, "<script>x</script>", "z"]
        rows = pl.DataFrame(draws.normal(size=(300, 3)), schema=names)
        rows.with_columns(kind=pl.Series([ODD, "</script>"] * 150)).write_csv(folder / "points.csv")
        own = ["data=file", "data.path=points.csv", "data.label=kind", "module.condition_dropout=0.2"]
        small = [each for each in SMALL if "num_points=300" not in each]
        process = forks("train", [*own, *small, f"hydra.run.dir={folder}/{ODD}"], folder)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        written(forks, folder, f"run={folder}/{ODD}")

    folder = made_once(tmp_path_factory, "odd", make)
    return folder / ODD, folder / "page.html"


def test_the_slider_moves_the_points_to_where_the_run_has_them(trained, page_of_run, opened):
    page, run = opened(page_of_run), load_run(trained)
    t, states = run.diffusion.sample_trajectory(150, 3)
    assert page.run("explorer.runs[0].own.t") == list(t)
    for each, state in zip(t, states.numpy(), strict=True):
        slide(page, each / 10)
        assert np.abs(points(page) - state).max() < 1e-3 * np.abs(state).max()
        assert page.page.locator("#time-text").inner_text() == f"t = {each} of 10"
    slide(page, (t[3] + t[4]) / 20)
    assert np.abs(points(page) - states[3:5].mean(0).numpy()).max() < 1e-2


def test_the_forward_process_begins_at_the_training_points(trained, page_of_run, opened):
    page = opened(page_of_run)
    page.page.get_by_role("combobox", name="Process").select_option("forward")
    slide(page, 0)
    run = load_run(trained)
    train = run.source.train.points[:150]
    assert np.abs(points(page) - train).max() < 1e-3
    slide(page, 1)
    *_, (_, noised) = forward_frames(run, train, 2, 3)
    assert np.abs(points(page) - noised).max() < 1e-3


def test_another_sampler_leads_where_sample_py_does(trained, page_of_run, opened, script, tmp_path):
    page = opened(page_of_run)
    for name, calls in (("deis", 5), ("heun", 3)):
        page.page.locator(f'[data-sampler="{name} {calls}"]').click()
        slide(page, 0)
        asked = [f"sampler={name}", f"sampler.num_inference_steps={calls}", f"output={name}.npy"]
        script("sample", f"run={trained}", "num_samples=150", "seed=3", *asked)
        expected = np.load(tmp_path / f"{name}.npy")
        assert np.abs(points(page) - expected).max() < 1e-3 * np.abs(expected).max()
        slide(page, 1)  # the same noise
        assert (
            np.abs(points(page) - load_run(trained).diffusion.sample_trajectory(150, 3)[1][0].numpy()).max() < 1e-3
        )


def test_figures_are_those_of_evaluate_py(trained, page_of_run, opened, script, tmp_path):
    page = opened(page_of_run)
    content = page.run("explorer.content.runs[0].trajectories")
    (there,) = [each for each in content if (each["name"], each["calls"]) == ("ddim", 5)]
    asked = ["num_samples=100", "seed=3", "sampler=ddim", "sampler.num_inference_steps=5"]
    script("evaluate", f"run={shutil.copytree(trained, tmp_path / 'run')}", *asked)
    row = json.loads((tmp_path / "run/evaluations.json").read_text())[0]["rows"][0]
    known = [name for name in there["figures"] if name not in ("stored", "seed")]
    assert {"equivalent_sample_size", "equivalent_sample_size_low", "tail_excess", "num_points"} <= set(known)
    for name in known:
        assert there["figures"][name] == row[name], name
    cells = (
        page.page.locator("tr", has=page.page.locator('[data-sampler="ddim 5"]')).locator("td").all_inner_texts()
    )
    assert cells[2].startswith(f"{row['tail_excess']:.2f} ({row['tail_excess_low']:.2f} to ")


def test_stored_evaluations_are_shown(trained, forks, tmp_path, script):
    run = shutil.copytree(trained, tmp_path / "run")
    script("evaluate", f"run={run}", "num_samples=400", "curve=true", "curve_steps=[3]", "sampler=ddim")
    row = json.loads((run / "evaluations.json").read_text())[0]["rows"][0]
    process = forks("explore", [f"run={run}", *SMALL_PAGE], tmp_path)
    assert process.wait(timeout=120) == 0
    text = (run / "explore.html").read_text()  # beside the run, where nothing else is said
    content = json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1])
    ways = content["runs"][0]["trajectories"]
    (figures,) = [each["figures"] for each in ways if (each["name"], each["calls"]) == ("ddim", 3)]
    assert figures["stored"]
    assert figures["num_points"] == 400
    assert figures["equivalent_sample_size"] == row["equivalent_sample_size"]


@pytest.mark.parametrize(("label", "guidance"), [(-1, 1.0), (0, 1.0), (1, 2.5)])
def test_the_browsers_samples_are_torchs(odd, opened, label, guidance):
    run, page = load_run(odd[0]), opened(odd[1])
    condition = torch.full((40, 1), torch.nan if label < 0 else float(label))
    for calls in (4, 10):
        sampler = DDIM(num_inference_steps=calls, guidance=guidance)
        t, states = run.diffusion.sample_trajectory(40, 0, sampler, condition)
        found = page.run(
            """([start, calls, label, guidance]) => {
              const { network, schedule, numStep } = explorer.runs[0];
              const steps = schedule.evenSteps(numStep - 1, calls);
              const ways = network.ddim(Float64Array.from(start), steps, label, guidance);
              return [ways.t, ways.states.map((state) => Array.from(state))];
            }""",
            [states[0].flatten().tolist(), calls, label, guidance],
        )
        assert found[0] == list(t)
        assert np.abs(np.array(found[1]).reshape(states.shape) - states.numpy()).max() < 1e-4


def test_the_browsers_field_is_torchs(trained, page_of_run, opened):
    page, diffusion = opened(page_of_run), load_run(trained).diffusion
    places = torch.randn(30, 2)
    x = diffusion.scaling.to_network(places)
    expected = diffusion.scaling.velocity_to_data(x, diffusion.denoiser.velocity(x, 6))
    found = page.run(
        "places => Array.from(explorer.runs[0].network.velocity(Float64Array.from(places), 6))",
        places.flatten().tolist(),
    )
    assert np.abs(np.array(found).reshape(-1, 2) - expected.detach().numpy()).max() < 1e-4
    for kind in ("learned", "exact", "difference"):
        page.page.get_by_label("Velocity field").select_option(kind)
        page.wait(f"explorer.panels[0].caption.textContent.includes('{kind} field at t =')")


def test_released_points_follow_the_network(page_of_run, opened):
    page = opened(page_of_run)
    slide(page, 0.8)
    page.page.locator("canvas").first.click(position={"x": 100, "y": 120})
    page.wait("explorer.view.share < 0.7")  # they are followed at once
    assert "released at x " in page.page.locator("#status").inner_text()
    t, steps = page.run(
        "(() => { const way = explorer.panels[0].released[0]; return [way.t, way.states.length]; })()"
    )
    assert t == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert steps == 9
    page.page.get_by_role("button", name="Forget released points").click()
    assert page.run("explorer.panels[0].released.length") == 0


def test_a_double_click_releases_nothing(page_of_run, opened):
    page = opened(page_of_run)
    page.page.locator("canvas").first.dblclick(position={"x": 100, "y": 120})
    page.page.wait_for_timeout(600)
    assert page.run("explorer.panels[0].released.length") == 0
    assert not page.run("explorer.view.playing")


def test_what_is_straight_between_states_is_said(page_of_run, opened):
    page = opened(page_of_run)
    assert "straight" not in page.run("explorer.panels[0].caption.textContent")
    page.page.locator('[data-sampler="deis 5"]').click()
    page.wait("explorer.panels[0].caption.textContent.includes('4 of 6 states, straight in between')")


def test_keys_and_drags_do_what_the_hint_says(page_of_run, opened):
    page = opened(page_of_run)
    canvas = page.page.locator("canvas").first
    canvas.focus()
    page.page.keyboard.press("+")
    page.page.keyboard.press("ArrowRight")
    assert page.run("[explorer.camera.zoom, explorer.camera.offset[0] > 0]") == [1.25, True]
    page.page.keyboard.press("0")
    assert page.run("[explorer.camera.zoom, ...explorer.camera.offset]") == [1, 0, 0]
    box = canvas.bounding_box()
    page.page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 200, box["y"] + 200, steps=3)
    page.page.mouse.up()
    assert page.run("explorer.camera.zoom") == pytest.approx(box["width"] / 100, rel=0.05)
    page.page.locator("#time").focus()
    page.page.keyboard.press("ArrowLeft")
    assert page.run("explorer.view.share") == pytest.approx(0.999)


def test_both_themes_and_a_phone_show_all_of_it(page_of_run, opened):
    for theme, width in itertools.product(("light", "dark"), (390, 1300)):
        page = opened(page_of_run, color_scheme=theme, viewport={"width": width, "height": 800})
        assert page.run("document.documentElement.dataset.theme") == theme
        assert page.run("document.documentElement.scrollWidth") <= width
        page.wait("document.querySelectorAll('.chart').length >= 5")
        assert page.page.locator("canvas").first.get_attribute("aria-label").startswith("150 points of ")
        ground = page.run("Array.from(explorer.panels[0].raster.context.getImageData(3, 3, 1, 1).data)")
        assert (sum(ground[:3]) > 700) == (theme == "light")
        page.page.locator("#theme").click()
        assert page.run("document.documentElement.dataset.theme") != theme


def test_names_are_shown_as_text(odd, opened):
    page = opened(odd[1])
    assert page.page.locator("h1").inner_text() == ODD
    assert page.page.locator("main i, main script").count() == 0
    assert {ODD, "</script>"} < set(page.page.locator("#legend").inner_text().splitlines())
    assert page.run("explorer.runs[0].names") == [ODD, "<script>x</script>", "z"]
    assert page.page.title().startswith(ODD)


def test_guidance_has_a_slider_and_space_turns(odd, opened):
    page, run = opened(odd[1]), load_run(odd[0])
    slide(page, 0)
    plain = points(page)
    page.page.locator("#guidance").fill("3")
    assert page.run("explorer.view.guidance") == 4
    expected = run.sample(150, seed=3, guidance=4.0).numpy()
    assert np.abs(points(page) - expected).max() < 1e-3 * np.abs(expected).max()
    assert np.abs(plain - expected).max() > 0.01
    before = page.run("explorer.camera.yaw")
    page.page.locator("canvas").first.focus()
    page.page.keyboard.press("ArrowRight")
    assert page.run("explorer.camera.yaw") > before


def test_the_same_command_writes_the_same_bytes(trained, page_of_run, forks, tmp_path):
    written(forks, tmp_path, f"run={trained}", "num_states=4", "num_workers=1")
    assert (tmp_path / "page.html").read_bytes() == page_of_run.read_bytes()
