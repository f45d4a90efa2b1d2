"""The table of a sweep's runs."""

from pathlib import Path

from rich.console import Console

from point_diffusion.report.tables import MAX_ROWS, jobs_table
from point_diffusion.runs.status import Status
from point_diffusion.runs.sweeps import Job


def shown(jobs):
    console = Console(width=120)
    with console.capture() as text:
        console.print(jobs_table(jobs, "val_loss"))
    return text.get()


def job(number, state="finished"):
    metrics = {"val_loss": float(number)} if state == "finished" else {}
    return Job(Path(f"seed={number:04d}"), Status(state, "" if metrics else "no room", metrics), {}, [])


def test_all_of_a_few_are_shown():
    text = shown([job(number) for number in range(MAX_ROWS)])
    assert all(f"seed={number:04d}" in text for number in range(MAX_ROWS))
    assert "more" not in text


def test_of_many_those_that_have_failed_are_shown_and_the_first():
    text = shown([job(number, "failed" if number == 900 else "finished") for number in range(1000)])
    assert "seed=0900" in text
    assert "no room" in text
    assert "seed=0000" in text
    assert "seed=0999" not in text
    assert f"and {1000 - MAX_ROWS} more, all in runs.csv" in text
    assert text.index("seed=0000") < text.index("seed=0900")
