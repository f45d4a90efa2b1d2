import numpy as np
import pytest

from point_diffusion.metrics import energy_distance, equivalent_sample_size


def by_definition(x, y, empirical=False):
    """The O(n^2) sums, with and without the pairs i = j."""
    between = np.linalg.norm(x[:, None] - y[None], axis=2).mean()
    n, m = len(x), len(y)
    within_x = np.linalg.norm(x[:, None] - x[None], axis=2).sum() / (n * (n if empirical else n - 1))
    within_y = np.linalg.norm(y[:, None] - y[None], axis=2).sum() / (m * (m - 1))
    return 2 * between - within_x - within_y, within_y


def draw(dim, n, seed, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, dim)) + shift


@pytest.mark.parametrize("empirical", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.5, 100.0])
@pytest.mark.parametrize(("dim", "tolerance"), [(1, 1e-10), (2, 1e-6)])
def test_it_is_its_definition(dim, tolerance, shift, empirical):
    x, y = draw(dim, 60, 1, shift), draw(dim, 90, 2)
    distance, spread = by_definition(x, y, empirical)
    scale = max(1.0, shift)
    assert energy_distance(x, y, empirical) == pytest.approx(distance, abs=tolerance * spread * scale)
    expected = spread / distance if distance > 0 else float("inf")
    assert equivalent_sample_size(x, y, empirical) == pytest.approx(expected, rel=1e-3)


def test_it_has_no_bias():
    distances = [energy_distance(draw(2, 50, seed), draw(2, 50, seed + 10_000)) for seed in range(300)]
    assert abs(np.mean(distances)) < 4 * np.std(distances) / 300**0.5
    assert min(distances) < 0


def test_n_real_points_are_worth_n():
    truth = draw(2, 20_000, 0)
    sizes = [equivalent_sample_size(draw(2, 200, seed), truth, empirical=True) for seed in range(1, 101)]
    assert 1 / np.mean(1 / np.array(sizes)) == pytest.approx(200, rel=0.15)  # the harmonic mean


def test_a_worse_generator_is_worth_less():
    truth = draw(2, 20_000, 0)
    sizes = [equivalent_sample_size(draw(2, 20_000, 1, shift), truth) for shift in (0.5, 0.2, 0.1)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 100


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((1, 2)), np.zeros((5, 2))),
        (np.zeros((5, 2)), np.zeros((5, 1))),
        (np.full((5, 2), np.nan), np.zeros((5, 2))),
        (np.zeros(5), np.zeros(5)),
    ],
)
def test_what_is_not_points_is_refused(x, y):
    with pytest.raises(ValueError, match="points"):
        energy_distance(x, y)
