"""What explore.py refuses."""

import re

import pytest

BAD = {
    "run=nowhere": "run=nowhere: no such file or run folder",
    "run=RUN runs=[RUN]": "run and runs: must not be given together",
    "sweep=empty": "/empty: holds no runs",
    "runs=[RUN,MOONS]": "runs: must be of one data.shape to be compared; there are s_curve in",
    "run=BARE": "holds no checkpoints/last.ckpt",
    "run=RUN output=there.html": "output=there.html: exists; overwrite=true replaces it",
    "run=RUN output=page.pdf": "output=page.pdf: must end in one of .html",
    "run=RUN num_points=1000000": "must be at most max_megabytes=5; at most ",
    "run=RUN max_megabytes=1": "must be at most max_megabytes=1; none would fit",
    "run=RUN num_states=1": "num_states=1: must be an integer of at least 2",
    "run=RUN sampler=ddim sampler.eta=3": "sampler.eta=3: must be a number of at least 0 and of at most 1",
    "run=RUN figures.columns=[q]": "figures.columns=q: must be among x, y",
}


@pytest.mark.parametrize("arguments", BAD)
def test_wrong_values_are_refused_in_one_line(trained, forks, tmp_path, arguments):
    (tmp_path / "there.html").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name, kind in (("moons", "moons"), ("bare", "s_curve")):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        stored = (trained / ".hydra/config.yaml").read_text().replace("shape: s_curve", f"shape: {kind}")
        (tmp_path / name / ".hydra/config.yaml").write_text(stored)
    named = {"RUN": trained, "MOONS": tmp_path / "moons", "BARE": tmp_path / "bare"}
    typed = re.sub("RUN|MOONS|BARE", lambda match: str(named[match[0]]), arguments)
    before = sorted(tmp_path.rglob("*"))
    process = forks("explore", typed.split(), tmp_path)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert BAD[arguments] in wrong
    assert len(wrong.splitlines()) == 1
    assert said == ""
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.html").read_text() == "mine"
    assert not (trained / "explore.html").exists()
