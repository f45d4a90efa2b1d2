import numpy as np

from point_diffusion.figures import forward_process, pixels, quality_curve, reverse_process


def states(count, n=50):
    draws = np.random.default_rng(0)
    return [draws.normal(size=(n, 2)) for _ in range(count)]


def test_forward_strip_is_two_rows_of_ten_with_the_true_steps():
    drawn = states(20)
    figure = forward_process(list(range(0, 100, 5)), drawn, drawn[0])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [rf"$q(\mathbf{{x}}_{{{t}}})$" for t in range(0, 100, 5)]
    grids = {(axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start) for axes in figure.axes}
    assert grids == {(row, column) for row in range(2) for column in range(10)}


def test_panels_show_the_points_they_were_given_on_the_same_axes():
    drawn = states(5)
    figure = reverse_process([80, 60, 40, 20, 0], drawn, truth=drawn[4])
    assert [axes.get_title() for axes in figure.axes] == [rf"$\mathbf{{x}}_{{{t}}}$" for t in (80, 60, 40, 20, 0)]
    for axes, points in zip(figure.axes, drawn, strict=True):
        (line,) = axes.lines
        assert np.array_equal(line.get_xydata(), points)
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    (low, high), center = figure.axes[0].get_xlim(), (drawn[4].min(0) + drawn[4].max(0)) / 2
    assert np.isclose((low + high) / 2, center[0])
    assert low < drawn[4][:, 0].min() < drawn[4][:, 0].max() < high


def test_a_model_gone_wild_is_still_drawn():
    truth = states(1)[0]
    wild = [np.full((50, 2), np.nan), np.full((50, 2), 1e30)]
    image = pixels(reverse_process([1, 0], wild, truth))
    assert image.dtype == np.uint8
    assert image.shape[2] == 3


def test_pixels_show_red_points_on_white():
    image = pixels(reverse_process([0], [np.zeros((1, 2))], truth=np.array([[-1.0, -1.0], [1.0, 1.0]])))
    reddish = (image[..., 0] > 200) & (image[..., 1] < 80) & (image[..., 2] < 80)
    assert 0 < reddish.sum() < 0.02 * reddish.size
    assert (image == 255).all(axis=2).mean() > 0.9


def test_no_pyplot_figure_is_left_open():
    import matplotlib.pyplot as plt

    pixels(forward_process([0, 1], states(2), states(1)[0]))
    assert plt.get_fignums() == []


def test_the_quality_curve_shows_its_numbers_and_marks_bounds():
    curve = np.array([[5, 100, 80, 130], [20, 900, 700, 1500], [50, 4000, 4000, np.inf]], float)
    figure = quality_curve({"ddim": curve, "ddpm": curve / [1, 2, 2, 2]}, {"the training set": 1000.0})
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["the training set", "ddim", "ddpm"]
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(lines["the training set"]) == [1000, 1000]
    drawn = [container.lines[0].get_xydata() for container in axes.containers]
    assert np.array_equal(drawn[0], curve[:, :2])
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["5", "20", "50"]
    (low, high), *_ = axes.containers[0].lines[2][0].get_segments()
    assert (low[1], high[1]) == (80, 130)
    assert pixels(figure).std() > 0
