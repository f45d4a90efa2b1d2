"""Weights of noise levels against their formulas."""

import pytest
import torch

from point_diffusion.loss_weighting import WEIGHTINGS, output_weights
from point_diffusion.prediction import EDM
from point_diffusion.registry import PREDICTION_TYPES

ALPHA = torch.linspace(0.02, 0.999, 40, dtype=torch.float64)[:, None]
SIGMA = (1 - ALPHA**2).sqrt()
SNR = (ALPHA / SIGMA)[:, 0] ** 2


@pytest.mark.parametrize(
    ("weighting", "kind", "expected"),
    [
        ("snr", "epsilon", torch.ones(40, dtype=torch.float64)),
        ("snr", "sample", SNR),
        ("min_snr", "epsilon", (5 / SNR).clamp(max=1)),
        ("min_snr", "v_prediction", SNR.clamp(max=5) / (SNR + 1)),  # Hang et al. 2023, sec. 3.4
        ("edm", "edm", torch.ones(40, dtype=torch.float64)),
        ("edm", "v_prediction", torch.ones(40, dtype=torch.float64)),
    ],
)
def test_weights_of_outputs_are_those_published(weighting, kind, expected):
    torch.testing.assert_close(output_weights(weighting, PREDICTION_TYPES[kind](), ALPHA, SIGMA, 1.0), expected)


def test_points_of_another_deviation_have_other_weights():
    found = output_weights("edm", EDM(0.3), ALPHA, SIGMA, 0.3)
    torch.testing.assert_close(found, torch.ones_like(found))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_an_error_weighs_the_same_whatever_is_predicted(weighting, kind):
    draws = torch.Generator().manual_seed(0)
    x_0, noise, wrong = torch.randn(3, 40, 1, generator=draws, dtype=torch.float64)
    prediction = PREDICTION_TYPES[kind]()
    x = ALPHA * x_0 + SIGMA * noise
    # an answer that means another x_0 behind the same x
    target = prediction.target(x_0, noise, ALPHA, SIGMA)
    answer = prediction.target(wrong, (x - ALPHA * wrong) / SIGMA, ALPHA, SIGMA)
    weights = output_weights(weighting, prediction, ALPHA, SIGMA, 0.8)
    expected = WEIGHTINGS[weighting](ALPHA, SIGMA, 0.8)[:, 0] * (wrong - x_0)[:, 0] ** 2
    torch.testing.assert_close(weights * (answer - target)[:, 0] ** 2, expected)
