"""Which of a training's processes this one is."""

import pytest

from point_diffusion.common.processes import process_rank, started_by

BATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}  # what the batch script of a job has


@pytest.mark.parametrize(
    ("variables", "trainer", "launcher", "rank"),
    [
        ({}, {"devices": 2}, "", 0),
        (BATCH, {"devices": 2}, "", 0),
        ({**BATCH, "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, {"devices": 2}, "srun", 1),
        ({**BATCH, "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, {"devices": 1}, "", 0),
        ({**BATCH, "SLURM_STEP_NUM_TASKS": "1"}, {"devices": 2}, "", 0),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}, {"devices": 2, "num_nodes": 2}, "srun", 3),
        ({"TORCHELASTIC_RUN_ID": "x", "RANK": "1"}, {"devices": 2}, "torchrun", 1),
        ({"POINT_DIFFUSION_STARTED": "1", "LOCAL_RANK": "1"}, {"devices": 2}, "", 1),
    ],
)
def test_who_has_started_them(monkeypatch, variables, trainer, launcher, rank):
    for name in ("SLURM_STEP_NUM_TASKS", "TORCHELASTIC_RUN_ID", "POINT_DIFFUSION_STARTED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert started_by(trainer) == launcher
    assert process_rank(trainer) == rank
