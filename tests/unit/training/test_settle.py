"""What an experiment leaves open gets its value from the points, before a config is checked."""

import pytest

from point_diffusion.common.errors import UsageError
from point_diffusion.training.preflight import check
from point_diffusion.training.settle import Amount, amount, settle


@pytest.fixture
def of(config):
    """What the points of a checked config come to."""

    def _of(*overrides: str) -> tuple[int, float, int]:
        asked = config(*overrides)
        settle(asked)
        check(asked)
        return asked.data.batch_size, asked.optimizer.lr, asked.trainer.max_epochs

    return _of


def test_many_points_are_trained_as_recommended_was_measured(of):
    assert of("experiment=recommended") == (512, 1e-2, 130)
    assert of("experiment=recommended", "data.num_points=100_000") == (512, 1e-2, 130)


@pytest.mark.parametrize("num_points", [1, 2, 3, 7, 100, 2_047, 2_048, 2_049, 5_000, 10_000, 10**8])
def test_there_are_steps_enough_in_batches_that_the_points_fill(num_points):
    found = amount(num_points)
    batches = -(-num_points // found.batch_size)
    assert found.batch_size <= max(1, num_points // 4)
    assert found.batch_size == 512 or found.batch_size > num_points // 8
    assert batches * found.epochs >= 4_000 or found.batch_size == 512
    assert found.epochs == 130 or batches * (found.epochs - 1) < 4_000
    assert found.epochs == 130 or (found.epochs > 130 and found.batch_size < 512)
    assert found.lr == pytest.approx(1e-2 * (found.batch_size / 512) ** 0.5, rel=0.05)


def test_few_points_have_small_batches_and_more_epochs(of):
    assert of("experiment=recommended", "data.num_points=100") == (16, 1.8e-3, 572)


def test_what_is_typed_stays(of):
    few = ("experiment=recommended", "data.num_points=100")
    assert of(*few, "trainer.max_epochs=3") == (16, 1.8e-3, 3)
    assert of(*few, "optimizer.lr=5e-3") == (16, 5e-3, 572)
    assert of(*few, "data.batch_size=50") == (50, 3.1e-3, 2_000)  # in 2 batches: 4,000 steps
    assert of(*few, "data.batch_size=16") == of(*few)
    assert of("experiment=recommended", "data.batch_size=1024") == (1024, 1e-2, 130)
    assert of("experiment=quick", "data.num_points=100") == (16, 1.8e-3, 40)


def test_any_run_may_leave_them_open(of):
    assert of("data.num_points=100", "trainer.max_epochs=auto", "data.batch_size=auto")[::2] == (16, 572)


def test_the_rows_of_a_file_count_without_those_held_out(of, iris):
    asked = ("experiment=recommended", "data=file", f"data.path={iris}", "data.label=species")
    assert of(*asked) == (32, 2.5e-3, 800)  # 135 rows in 5 batches
    assert of(*asked, "data.holdout=0.6") == (8, 1.3e-3, 500)  # 60 in 8


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("data.path=there_is_none.csv", "there_is_none.csv"),
        ("data.holdout=2", "data.holdout=2: must be a number"),
        ("data.holdout=some", "data.holdout=some: must be a number"),
        ("trainer.max_epochs=many", "trainer.max_epochs=many: must be an integer of at least 1"),
        ("data.batch_size=-1", "data.batch_size=-1: must be an integer of at least 1"),
    ],
)
def test_what_is_wrong_with_the_points_is_said_by_its_own_name(config, iris, line, wrong):
    asked = config("experiment=recommended", "data=file", f"data.path={iris}", line)
    settle(asked)
    with pytest.raises(UsageError) as caught:
        check(asked)
    assert wrong in str(caught.value)
    assert "auto: must be" not in str(caught.value)


def test_wrong_values_are_told_that_auto_is_one(of):
    with pytest.raises(UsageError, match=r"trainer.max_epochs=many: must be .*, or auto$"):
        of("trainer.max_epochs=many")
    assert amount(10_000) == Amount()
