"""Fields and densities, as the page is told of them."""

import base64

import numpy as np
import torch

from point_diffusion import load_run
from point_diffusion.report.explore.field import MASS, contours, fields


def read(plain):
    if plain["type"] == "f4":
        return np.frombuffer(base64.b64decode(plain["data"]), "<f4").reshape(plain["shape"])
    counts = np.frombuffer(base64.b64decode(plain["data"]), "<u2").reshape(plain["shape"])
    return np.array(plain["low"]) + np.array(plain["step"]) * counts


def test_stored_fields_are_those_of_the_network_and_of_the_exact_denoiser(trained):
    run = load_run(trained)
    found = fields(run, run.source, run.truth)
    places = torch.from_numpy(read(found["grid"]).copy())
    x = run.diffusion.scaling.to_network(places)
    exact = run.truth.denoiser(run.schedule)
    for level, t in enumerate(found["t"]):
        for name, denoiser in (("learned", run.diffusion.denoiser), ("exact", exact)):
            expected = run.diffusion.scaling.velocity_to_data(x, denoiser.velocity(x, t - 1)).detach()
            np.testing.assert_allclose(read(found[name])[level], expected.numpy(), atol=1e-5)
        assert 0 < len(found["inside"][level]) < len(places)


def test_contours_of_the_truth_lie_where_its_density_says(trained):
    run = load_run(trained)
    found = contours(run, run.source, run.truth)
    of_points = run.truth.log_density(run.source.train.points)
    for mass, lines in zip(MASS, found["truth"], strict=True):
        level = float(of_points.quantile(1 - mass))
        places = np.concatenate([read(line) for line in lines])
        # between the grid's places a density is interpolated
        assert np.median(np.abs(run.truth.log_density(places).numpy() - level)) < 0.5
    assert len(found["model"]) == len(MASS)


def test_what_is_not_known_is_said(trained):
    run = load_run(trained)
    for of in (fields, contours):
        assert "not known" in of(run, run.source, None)["why_not"]
