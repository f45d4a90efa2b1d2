"""Arrays as text: what a browser reads is what was written."""

import base64

import numpy as np

from point_diffusion.report.explore.arrays import floats, quantized, quantized_bytes, small_integers


def read(plain, kind):
    return np.frombuffer(base64.b64decode(plain["data"]), kind).reshape(plain["shape"])


def test_floats_keep_their_bits():
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    assert (read(floats(values), "<f4") == values).all()


def test_quantized_numbers_are_wrong_by_half_a_step_of_their_column():
    values = np.random.default_rng(0).normal(size=(5, 100, 2)) * [1, 1000] + [0, 5]
    plain = quantized(values)
    restored = np.array(plain["low"]) + np.array(plain["step"]) * read(plain, "<u2")
    spans = np.ptp(values.reshape(-1, 2), axis=0)
    assert (np.abs(restored - values).reshape(-1, 2).max(axis=0) <= spans / 131_070 * 1.001).all()
    assert len(plain["data"]) == quantized_bytes(5, 100, 2)


def test_constant_columns_and_empty_arrays():
    plain = quantized(np.full((4, 1), 7.0))
    assert plain["low"] == [7.0]
    assert (read(plain, "<u2") == 0).all()
    assert quantized(np.empty((0, 2)))["shape"] == [0, 2]


def test_integers():
    assert read(small_integers([3, 0, 65_535]), "<u2").tolist() == [3, 0, 65_535]
