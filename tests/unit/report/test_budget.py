"""What limits a run's samples, as people read it."""

import numpy as np
import pytest

from helpers.tables import shown
from point_diffusion.metrics.budget import Verdict
from point_diffusion.report.budget import advice, budget_chart, budget_table, draw_line
from point_diffusion.report.style import pixels


def figure(name, value, reach=None):
    reach = abs(value) / 2 if reach is None else reach
    return {name: value, f"{name}_low": value - reach, f"{name}_high": value + reach}


def size(value, low, high=None):
    name = "equivalent_sample_size"
    return {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_at_least": high is None}


def rows():
    whole = {"what": "whole", **figure("energy_distance", 3e-4), **size(6_000, 3_000, 9_000)}
    whole |= {**figure("reverse_kl", 0.03), **figure("tail_surplus", 3.5)}
    whole |= {**figure("draw", 2e-4), **figure("followed", 0.8, 0.1)}
    return [
        whole,
        {"what": "sampler", **figure("energy_distance", -1e-7), **figure("reverse_kl", 0.002), **size(900, 900)},
        {"what": "data", **figure("energy_distance", 1.5e-4), **size(12_000, 8_000, 24_000)},
        {"what": "network", **figure("energy_distance", 2e-5), **figure("reverse_kl", 0.02)},
        {"what": "sampler x network", **figure("energy_distance", 1e-4, 3e-4), **figure("reverse_kl", 0.001)},
        {"what": "sum", **figure("energy_distance", 2.7e-4), **figure("reverse_kl", 0.023)},
    ]


def test_the_table_has_a_row_for_each_part_and_the_whole_at_its_end():
    text = shown(budget_table(rows()))
    lines = [line for line in text.splitlines() if line.startswith("│")]
    names = [line.split("│")[1].strip() for line in lines]
    assert names == ["sampler", "training draw", "network", "sampler × network", "sum", "whole, measured apart"]
    assert "0.00 (0.00 to 0.00)" in lines[0]  # and not -0.00
    assert "at least 900" in lines[0]
    assert "1.50 (0.75 to 2.25)" in lines[1]
    assert "12,000 (8,000 to 24,000)" in lines[1]
    assert "0.0200 (0.0100 to 0.0300)" in lines[2]
    assert "1.00 (-2.00 to 4.00)" in lines[3]
    assert "3.50 (1.75 to 5.25)" in lines[5]


def test_a_figure_that_is_not_known_has_no_column():
    without = [{key: value for key, value in row.items() if "kl" not in key} for row in rows()]
    assert "KL" not in shown(budget_table(without))
    assert len(budget_chart(without).axes) == 2


def test_the_line_on_the_draw():
    whole = rows()[0]
    assert draw_line(whole, is_split=True) == (
        "the training draw by itself is at 2.00 (1.00 to 3.00), and the samples have 80% (70% to 90%) of its"
        " error; by the tail excess that is in the network's part"
    )
    assert draw_line(whole, is_split=False).endswith("of its error")
    assert "not told from 0" in draw_line(whole | figure("draw", 1e-4, 2e-4), is_split=True)


ENERGY, KL, TAIL = "energy_distance", "reverse_kl", "tail_surplus"


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (
            {TAIL: ("network",), ENERGY: ("data",), KL: ("network",)},
            "By the energy distance the training draw limits: more points (data.num_points) help; by the KL and"
            " the tail excess the network limits, in the tails: more epochs (trainer.max_epochs) or units"
            " (model.num_units) help.",
        ),
        (
            {ENERGY: ("network",), KL: ("network",), TAIL: ("network",)},
            "By the energy distance, the KL and the tail excess the network limits: more epochs"
            " (trainer.max_epochs) or units (model.num_units) help.",
        ),
        (
            {ENERGY: ("sampler", "data"), TAIL: ()},
            "By the energy distance the sampler and the training draw limit: more steps"
            " (sampler.num_inference_steps) or another sampler and more points (data.num_points) help; by the tail"
            " excess no part stands out of the noise of 5,000 samples (num_samples).",
        ),
    ],
)
def test_what_limits_in_one_sentence(verdicts, sentence):
    assert advice({name: Verdict(limits) for name, limits in verdicts.items()}, 5000) == sentence


def test_what_two_parts_add_together_is_both_parts_to_cure():
    sentence = advice({ENERGY: Verdict(("sampler x network",))}, 5000)
    assert "By the energy distance the sampler and the network together limit: more steps" in sentence
    assert "or another sampler, or more epochs" in sentence


def test_a_part_that_may_be_larger_is_named():
    sentence = advice({ENERGY: Verdict(("data",), ("sampler",))}, 5000)
    assert "limits, unless the sampler does, whose part 5,000 samples (num_samples) do not tell from 0" in sentence


def test_advice_fits_the_run():
    sampler = {ENERGY: Verdict(("sampler",))}
    assert "training with more steps (num_step)" in advice(sampler, 100, steps_left=False)
    assert "sampler.num_inference_steps" in advice(sampler, 100, steps_left=True)
    of_file = advice({ENERGY: Verdict(("data", "sampler and network"))}, 100, of_file=True)
    assert "data.num_points" not in of_file  # a file has as many as it has
    assert "the training draw and the sampler and network limit: more points and more steps" in of_file
    assert "held-out points" in advice({ENERGY: Verdict(())}, 100, of_file=True)


def test_the_chart_shows_the_parts_with_their_intervals():
    chart = budget_chart(rows())
    assert [axes.get_title() for axes in chart.axes] == [
        "energy distance² ⋅ 10⁴",
        "KL(model ‖ truth), nats",
        "tail excess − 1",
    ]
    energy, divergence, tail = chart.axes
    names = [text.get_text() for text in energy.get_yticklabels()]
    assert names == ["sampler", "training draw", "network", "sampler × network", "sum", "whole, measured apart"]
    np.testing.assert_allclose([bar.get_width() for bar in energy.patches], [-1e-3, 1.5, 0.2, 1, 2.7, 3])
    np.testing.assert_allclose([bar.get_width() for bar in divergence.patches], [0.002, 0.02, 0.001, 0.023, 0.03])
    assert [bar.get_width() for bar in tail.patches] == [3.5]
    reaches = [line.get_xdata() for line in energy.lines if len(line.get_xdata()) == 2 and line.get_xdata()[1] > 2]
    np.testing.assert_allclose(reaches[0], [0.75, 2.25])
    assert pixels(chart).std() > 0
