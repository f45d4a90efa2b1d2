"""How near to six known densities recommended comes: from few points, from many, and from ever new ones."""

import math
import time
from collections.abc import Iterator, Mapping
from statistics import median
from typing import NamedTuple

from point_diffusion.benchmark.records import Benchmark, Record, Size, in_parallel, trained
from point_diffusion.runs.densities import density_figures
from point_diffusion.training.settle import EPOCHS

SHAPES = ("checkerboard", "gaussians", "pinwheel", "spirals", "moons", "s_curve")
SETTINGS = ("experiment=recommended",)
NUM_POINTS = 10_000  # of recommended
NUM_DENSITIES = 5_000  # samples, and points of the truth, whose densities are computed
# so many points a run, as often as makes the same number of steps
SETS = {"10,000 points": NUM_POINTS, "100,000 points": 10 * NUM_POINTS, "fresh draws": EPOCHS * NUM_POINTS}
SEEDS = (1, 2, 3)
REACH = {"checkerboard": 0.08}
SMOOTH = 0.03  # to be reached by all others
KINDS = {"forward_kl": "KL(truth ‖ model), nats", "reverse_kl": "KL(model ‖ truth), nats"}


class Outcome(NamedTuple):
    """Of one training: the divergences, infinite or NaN where there is none; its seconds; and the reasons."""

    figures: Mapping[str, float]
    seconds: float
    remarks: list[str]


def measure(shape: str, num_points: int, seed: int, short: bool) -> Outcome:
    """The divergences of a run of recommended on so many points."""
    asked = [*SETTINGS, f"data={shape}", f"seed={seed}", f"data.seed={seed}", "callbacks.quality=null"]
    asked += [f"data.num_points={num_points}", f"trainer.max_epochs={EPOCHS * NUM_POINTS // num_points}"]
    if short:
        asked += [f"data.num_points={num_points // 10}", "num_step=20", "sampler.num_inference_steps=10"]
        asked += [f"trainer.max_epochs={max(1, NUM_POINTS // num_points)}"]
    begun = time.perf_counter()
    with trained(*asked) as (run, _):
        seconds = time.perf_counter() - begun
        count = 200 if short else NUM_DENSITIES
        found, remarks = density_figures(run.diffusion, run.source, run.points, count, seed)
    lost = dict.fromkeys(KINDS, math.nan)
    if any("it is infinite" in line for line in remarks):  # KL(model ‖ truth), where the truth has no density
        lost["reverse_kl"] = math.inf
    return Outcome(lost | {kind: found[kind].value for kind in KINDS if kind in found}, seconds, remarks)


def run(size: Size) -> Iterator[Record]:
    """Forward and reverse KL, which is the negative log-likelihood less the exact entropy, on six shapes."""
    shapes, seeds = (SHAPES[-1:], SEEDS[:2]) if size.short else (SHAPES, SEEDS)
    jobs = [(shape, count, seed, size.short) for shape in shapes for count in SETS.values() for seed in seeds]

    def say(shape: str, count: int, seed: int, _: bool, found: Outcome) -> str:
        figures = ", ".join(f"{KINDS[kind]} {found.figures[kind]:.4f}" for kind in KINDS)
        return f"{shape}, {count:,} points, seed {seed}: {figures} ({found.seconds:.0f} s)"

    made = dict(zip(jobs, in_parallel(measure, jobs, size.num_jobs, say), strict=True))
    for kind, metric in KINDS.items():
        for shape in shapes:
            for name, count in SETS.items():
                found = [made[shape, count, seed, size.short] for seed in seeds]
                reach = REACH.get(shape, SMOOTH) if kind == "forward_kl" and name == "fresh draws" else None
                remarks = sorted({line for each in found for line in each.remarks})
                yield Record(
                    f"{shape}, {name}",
                    metric,
                    [each.figures[kind] for each in found],
                    (0.0,),
                    reach,
                    seconds=median(each.seconds for each in found),
                    remarks=remarks,
                )


BENCHMARK = Benchmark(
    run,
    sources={},
    protocol=(
        "Each shape as data=SHAPE makes it; experiment=recommended as it stands, three seeds, another draw of the"
        " points with each. Its Fourier feature was chosen by these figures, on the same seeds.",
        "KL(truth ‖ model) is the negative log-likelihood of held-out points less the exact entropy, by the same"
        " points' exact log-density; the floor is 0.",
        "Fresh draws are as many points as all epochs have together, each seen once.",
        "The densities are those of DDIM in all steps: the sampler of recommended draws noise, and what it draws"
        " has no density to compute.",
    ),
)
