"""Pages that scripts/explore.py writes, and what a test does with them."""

import numpy as np

SMALL_PAGE = ["num_points=150", "num_samples=100", "num_inference_steps=[3,5]", "seed=3"]


def written(forks, folder, *arguments):
    process = forks("explore", [*arguments, *SMALL_PAGE, f"output={folder}/page.html"], folder)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def points(page, index=0):
    """Where the points of a panel are now, shape (n, columns)."""
    flat = page.run("index => Array.from(explorer.panels[index].positions())", index)
    return np.array(flat).reshape(page.run("index => explorer.runs[index].count", index), -1)


def slide(page, share):
    """Move the slider as a user does, and wait for the frame that shows it."""
    page.page.locator("#time").fill(str(share))
    page.run("new Promise(requestAnimationFrame)")
