"""What a training says in words: of its schedule at the start, of its samples at the end, how to resume it."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from point_diffusion.common.errors import format_error
from point_diffusion.common.paths import CHECKOUT, shell_path, typed_path
from point_diffusion.common.text import show
from point_diffusion.config.convert import loggers
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT
from point_diffusion.runs.resume import typed_again
from point_diffusion.training.plan import Plan

if TYPE_CHECKING:
    from point_diffusion.data.description import Description
    from point_diffusion.data.source import Source
    from point_diffusion.diffusion import Diffusion

MAX_SIGNAL = 0.1  # in x_T that does no harm
MAX_PRIOR_KL = 0.01  # nats between q(x_T) and N(0, I) that do no harm
SCRIPT = CHECKOUT / "scripts" / "train.py"


def data_lines(source: "Source", description: "Description") -> list[str]:
    """What there is to know of points that are the user's own before the training, a line each."""
    if source.unlimited:
        return []
    told = [f"{len(description.classes)} classes of {description.label}"] if description.classes else []
    told += [f"conditioned on {', '.join(description.condition)}"] if description.condition else []
    shown = ", ".join(show(name) for name in description.columns[:6]) + (
        ", ..." if len(description.columns) > 6 else ""
    )
    held_out = len(source.held_out().points)
    rows = f"{description.num_points:,} rows to train on, {held_out:,} held out"
    count = len(description.columns)
    first = "; ".join([rows, f"{count} column{'s' * (count != 1)}: {shown}", *told])
    return [
        first,
        *(line for line in source.remarks() if not (description.scaling.get("integers") and "data.round" in line)),
    ]


def prior_line(diffusion: "Diffusion", scale: float) -> str:
    """One line on what x_T really is and, where sampling starts from something else, which setting cures it.

    Args:
        diffusion: that knows its data.
        scale: the key data.scale.
    """
    alpha, mismatch = diffusion.schedule.last_level.alpha, diffusion.prior_kl()
    line = f"x_T holds {alpha:.3g} of the signal; q(x_T) is {mismatch:.2g} nats from N(0, I)"
    if mismatch > MAX_PRIOR_KL and diffusion.sampler.start == "normal":
        line += f": sampling starts where the network was never trained; {_remedy(diffusion, scale)}"
    elif alpha > MAX_SIGNAL and diffusion.sampler.start == "normal":
        # of standardised data the moments are right at every step
        line += " by its mean and covariance alone; what else the points are is still in it:"
        line += " sampling starts where the network was never trained; schedule.alphas_cumprod_end=1e-4 cures it"
    if alpha < diffusion.prediction.smallest_alpha:
        line += f": too little for {diffusion.prediction_type} to say x_0; module.prediction_type=v_prediction can"
    return line


def _remedy(diffusion: "Diffusion", scale: float) -> str:
    from point_diffusion.schedule import NoiseLevel

    variance, mean = diffusion.data_covariance.trace() / diffusion.dim, diffusion.data_mean
    spread = (variance + mean.square().mean()).sqrt().item()
    ends, scales = "schedule.alphas_cumprod_end=1e-4", f"data.scale={scale * spread:.2g}"
    now, end = diffusion.schedule.last_level, NoiseLevel(1e-2, (1 - 1e-4) ** 0.5)
    for level, rescale, remedy in (
        (end, 1.0, f"{ends} cures it (sampler.start=matched keeps the schedule)"),
        (now, spread, f"{scales} cures it"),
        (end, spread, f"{scales} with {ends} cures it"),
    ):
        if diffusion.prior_kl(level, rescale) <= MAX_PRIOR_KL:
            return remedy
    return "sampler.start=matched cures it"


def summary(plan: Plan, metrics: Mapping[str, float], num_points: int, num_compared: int) -> str:
    """What a finished training has come to, and what to do with it.

    Args:
        plan: of the run.
        metrics: as in metrics.json.
        num_points: that it was trained on.
        num_compared: of these, that samples were compared with.
    """
    from point_diffusion.report.tables import densities, efficiency, resolved, tutorial, worth

    losses = "".join(f"  {name} {metrics[name]:.4f}" for name in ("train_loss", "val_loss") if name in metrics)
    lines = [f"{metrics['epochs']} epochs in {metrics['seconds']:.1f} s{losses}"]
    asked, folder = plan.resolved, plan.folder
    if "equivalent_sample_size" in metrics:
        own = worth(metrics, "train_equivalent_sample_size")
        lines.append(f"  samples   worth {worth(metrics)} real points; data efficiency {efficiency(metrics)}")
        if line := densities(metrics):
            lines.append(f"            {line}")
        sampled = f"{num_compared:,} of " if num_compared < num_points else ""
        lines.append(f"  beside    {sampled}the {num_points:,} trained on are worth {own}")
        if "resolution" in metrics:
            lines.append(f"            {resolved(int(metrics['num_truth']), metrics['resolution'])}")
        if (size := tutorial(asked["data"])) is not None:
            lines.append(f"            the tutorial's 4,000 epochs reach {size:,}")
    elif asked["callbacks"].get("quality") is not None and not asked["trainer"].get("fast_dev_run"):
        lines.append("  samples   are non-finite, and have no figures: the training has diverged")
    if plan.in_sweep:
        return "\n".join(lines)  # the rest would be said once for each job
    lines.append(f"  run       {shell_path(folder)}")
    if grids := sorted((folder / "figures").glob("reconstruction_*.png")):
        lines.append(f"  picture   {shell_path(grids[-1])}")
    kept = [str(node["_target_"]) for node in loggers(asked["logger"]).values()]
    if any(target.endswith("TensorBoardLogger") for target in kept):
        outputs = typed_path(asked["output_dir"])
        logdir = outputs if folder.is_relative_to(outputs) else folder
        lines.append(f"  curves    tensorboard --logdir {shell_path(logdir)} --samples_per_plugin images=1000")
    if (folder / LAST_CHECKPOINT).exists() and SCRIPT.exists():
        lines.append(f"  resume    {_resume(plan)} trainer.max_epochs={2 * int(metrics['epochs'])}")
    return "\n".join(lines)


def what_is_kept(plan: Plan, epochs: int, error: BaseException) -> str:
    """What an error has left of a run, and how to resume it, where that would help."""
    from point_diffusion.training.module import DivergenceError

    parts = []
    if (plan.folder / LAST_CHECKPOINT).exists():
        parts.append(f"epoch {epochs} is kept in {shell_path(plan.folder)}")
    if not isinstance(error, DivergenceError):
        parts.append(how_to_resume(plan))
    return ", ".join(parts) or "no checkpoint was written before"


def first_step_failed(error: BaseException, device: str, steps: int) -> str:
    """What to say of an error of torch's on another device than a CPU, before ``steps`` is 1; else ""."""
    if device == "cpu" or steps > 0 or not isinstance(error, (RuntimeError, NotImplementedError, TypeError)):
        return ""
    return f"the first step on this {device} has failed ({format_error(error)}); accelerator=cpu trains without it"


def how_to_resume(plan: Plan) -> str:
    """How to resume a run that was stopped."""
    if plan.in_sweep:
        return f"the same command with hydra.sweep.dir={shell_path(plan.folder.parent)} resumes it"
    if not (plan.folder / LAST_CHECKPOINT).exists():
        return "it has no checkpoint yet, the same command begins anew"
    # a package that is used from Python alone knows no script
    return f"resume it: {_resume(plan)}" if SCRIPT.exists() else f"resume={shell_path(plan.folder)} resumes it"


def _resume(plan: Plan) -> str:
    again = "".join(f" {shlex.quote(each)}" for each in typed_again(plan.resolved))
    return f"python {shell_path(SCRIPT)} resume={shell_path(plan.folder)}{again}"
