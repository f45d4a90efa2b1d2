"""Files are whole or not there, whatever the disk does."""

import contextlib
import subprocess
from pathlib import Path

import pytest
from joblib import cpu_count

from helpers.run_files import load, metrics_of, others_of, wait_for
from helpers.small_runs import CHECKOUT, FEW


def limited(size):
    """No file may be larger, in bytes."""
    return [("RLIMIT_FSIZE", size)]


def test_a_disk_that_is_full_leaves_the_last_checkpoint(start, script, tmp_path):
    run = tmp_path / "run"
    options = [
        "model.num_units=128",
        "callbacks.reconstruction=null",
        *[each for each in FEW if "units" not in each],
    ]
    options = [each for each in options if "reconstruction.num_points" not in each]
    script("train", *options, "trainer.max_epochs=2", f"hydra.run.dir={run}")
    before = (run / "checkpoints/last.ckpt").read_bytes()
    assert len(before) > 300_000
    process = start(f"resume={run}", "trainer.max_epochs=20", limits=limited(300_000))
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert wrong.startswith(
        f"error: {run}/checkpoints/last.ckpt: can't be written (File too large); epoch 2 is kept"
    )
    assert wrong.endswith(f"resume it: python {CHECKOUT}/scripts/train.py resume=run\n")
    assert len(wrong.splitlines()) == 1
    assert (metrics_of(run)["finished"], metrics_of(run)["epochs"]) == (False, 2)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert (run / "checkpoints/last.ckpt").read_bytes() == before
    script("train", f"resume={run}", "trainer.max_epochs=3")
    # too small for the curves
    process = start(f"resume={run}", "trainer.max_epochs=20", fresh=True, limits=limited(100))
    _, wrong = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(wrong.splitlines()) == 1
    assert "File too large" in wrong
    assert load(run / "checkpoints/last.ckpt")["epoch"] == 2


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True
    ).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk):
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)


def test_a_small_disk_that_fills_up_and_a_read_only_one(start, script, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "8m"):
        run = disk / "run"
        process = start(*FEW, "model.num_units=128", "trainer.max_epochs=100000", f"hydra.run.dir={run}")
        wait_for(run / "checkpoints/last.ckpt", process)
        fill(disk)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "No space left on device" in wrong
        assert len(wrong.splitlines()) == 1
        epoch = load(run / "checkpoints/last.ckpt")["epoch"]
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done = script("train", f"resume={run}", f"trainer.max_epochs={epoch + 3}", check=False)
        assert done.returncode == 2
        assert done.stderr == f"error: resume={run}: can't be written (Read-only file system)\n"
        done = script("evaluate", f"run={run}", "num_samples=100", check=False)
        assert done.returncode == 2
        assert "Read-only file system" in done.stderr
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        script("train", f"resume={run}", f"trainer.max_epochs={epoch + 3}")


@pytest.mark.long
@pytest.mark.skipif(cpu_count() < 2, reason="needs two cores")
def test_a_disk_that_fills_up_ends_all_processes_of_a_training(start, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "8m"):
        run, asked = disk / "run", [*FEW, "trainer.devices=2", "callbacks.checkpoint.every_n_epochs=1"]
        process = start(*asked, "model.num_units=128", "trainer.max_epochs=100000", f"hydra.run.dir={run}")
        wait_for(run / "checkpoints/last.ckpt", process)
        (other,) = others_of(process)
        fill(disk)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "No space left on device" in wrong
        (line,) = wrong.splitlines()
        assert f"epoch {load(run / 'checkpoints/last.ckpt')['epoch'] + 1} is kept in" in line
        assert not Path(f"/proc/{other}").exists()


def test_a_folder_that_is_deleted_under_a_run_ends_it_in_one_line(start, tmp_path):
    run = tmp_path / "run"
    process = start(*FEW, "trainer.max_epochs=100000", f"hydra.run.dir={run}")
    wait_for(run / "checkpoints/last.ckpt", process)
    run.rename(tmp_path / "gone")  # at once: it is written to
    subprocess.run(["rm", "-rf", str(tmp_path / "gone")], check=True)
    _, wrong = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "No such file or directory" in wrong
    assert len(wrong.splitlines()) == 1


def test_a_full_disk_leaves_nothing_behind(trained, forks, tmp_path):
    few = ["num_frames=4", "num_points=2000"]
    for script, output, more in (
        ("sample", "a.npy", []),
        ("sample", "a.csv", []),
        ("sample", "a.npz", []),
        ("sample", "a.png", []),
        ("animate", "a.gif", few),
        ("animate", "a.webp", few),
        ("animate", "a.mp4", few),
        ("explore", "a.html", ["num_points=20", "num_samples=20", "num_inference_steps=[2]"]),
    ):
        # a file of at most 10 kB
        process = forks(
            script, [f"run={trained}", f"output={output}", *more], tmp_path, [("RLIMIT_FSIZE", 10_000)]
        )
        _, wrong = process.communicate(timeout=60)
        assert process.returncode == 2, wrong
        assert wrong.startswith("error: output=")
        assert "can't be written (" in wrong
        assert len(wrong.splitlines()) == 1
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_made_is_one_line(trained, forks, tmp_path):
    (tmp_path / "file").write_text("mine")
    for output in ("file/a.csv", "file/b/a.csv", "n" * 300 + ".csv"):
        process = forks("sample", [f"run={trained}", f"output={output}", "num_samples=5"], tmp_path)
        _, wrong = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "can't be written (" in wrong
        assert len(wrong.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
