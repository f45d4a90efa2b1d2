"""One training run: from a composed config to a run folder and its final metrics."""

import json
import logging
import math
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from point_diffusion.config import UsageError
from point_diffusion.files import write_whole
from point_diffusion.folders import CHECKOUT, claim
from point_diffusion.preflight import checkpoint_of, hush, prepare
from point_diffusion.runs import LAST_CHECKPOINT, find_checkpoint, logged_curves

if TYPE_CHECKING:
    import lightning as L
    from lightning.pytorch.loggers import Logger

log = logging.getLogger(__name__)

# what a checkpoint stores: enough to rebuild the model, and to say how it was trained
STORED = (
    "seed",
    "num_step",
    "data",
    "schedule",
    "model",
    "module",
    "sampler",
    "optimizer",
    "lr_scheduler",
    "callbacks",
    "trainer",
)


def train(config: DictConfig) -> dict[str, float]:
    """Train as ``config`` says, write the run folder, and return the final metrics.

    Under Hydra the run folder is Hydra's; else a new one is made below ``config.output_dir``.

    Args:
        config: composed from ``conf/train.yaml``.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UsageError: a value is wrong, or the folder holds a run already.
    """
    prepare(config)
    folder = _run_folder(config)
    if config.resume is None and (folder / LAST_CHECKPOINT).exists():
        raise UsageError(f"{folder}: holds a run already; resume={folder} goes on with it")

    with _log_to(folder):
        return _train(config, folder)


def _train(config: DictConfig, folder: Path) -> dict[str, float]:
    import lightning as L
    import torch

    from point_diffusion.callbacks import SampleQuality
    from point_diffusion.data import PointSetDataModule
    from point_diffusion.module import DiffusionModule
    from point_diffusion.seeds import derive_seed

    started = time.monotonic() - _seconds_so_far(config, folder)
    hush()
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # there is nothing to load
    warnings.filterwarnings("ignore", message=".*logging interval.*")  # losses are logged once an epoch
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")  # so it is when a run goes on
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # between Lightning and torch
    torch.set_num_threads(config.num_threads)

    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    data = PointSetDataModule(**plain["data"], order_seed=plain["seed"])
    plain["data"]["dim"] = data.dim
    loggers = _loggers(config, folder, plain)
    trainer = L.Trainer(**_trainer_options(config, plain, folder), logger=loggers or False)
    log.info("run folder: %s", _short(folder))
    with torch.random.fork_rng():  # the caller's random state stays as it was
        torch.manual_seed(derive_seed(plain["seed"], "weights"))
        module = DiffusionModule({section: plain[section] for section in STORED})
        module.diffusion.describe_data(data.train_points)
        health, advice = module.diffusion.health()
        log.info("%s", advice)
        trainer.fit(module, data, ckpt_path=checkpoint_of(config), weights_only=True)

    logged = ("train/loss", "train/grad_norm", "val/loss")
    values = trainer.callback_metrics
    losses = {tag.replace("/", "_"): values[tag].item() for tag in logged if tag in values}
    judges = (each for each in trainer.callbacks if isinstance(each, SampleQuality))  # type: ignore[attr-defined]
    final = next((judge.final for judge in judges), {})
    diverged = [name for name, value in losses.items() if not math.isfinite(value)]
    metrics = {
        "finished": not diverged,
        "epochs": trainer.current_epoch,
        "seconds": round(time.monotonic() - started, 3),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        **health,
        **{name: value for name, value in losses.items() if name not in diverged},
        **final,
    }
    _draw_curves(folder, plain)
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    if diverged:
        what = ", ".join(f"{name} is {losses[name]}" for name in diverged)
        raise UsageError(f"optimizer.lr={plain['optimizer']['lr']}: the training diverged ({what}); see {folder}")
    _summarise(config, folder, metrics)
    return metrics


def _draw_curves(folder: Path, plain: Mapping[str, Any]) -> None:
    """The curves that TensorBoard shows, as one picture beside the others."""
    wanted = plain["callbacks"].get("reconstruction")
    if wanted is None or not (curves := logged_curves(folder)):
        return
    from PIL import Image

    from point_diffusion.figures import look, pixels, training_curves

    with look(wanted["style"]):
        picture = Image.fromarray(pixels(training_curves(curves)))
    (folder / "figures").mkdir(exist_ok=True)
    picture.save(folder / "figures" / "curves.png")


@contextmanager
def _log_to(folder: Path) -> Iterator[None]:
    """A run called from Python gets its train.log as well; under Hydra it has one."""
    if HydraConfig.initialized():
        yield
        return
    handler = logging.FileHandler(folder / "train.log")
    handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
    package = logging.getLogger("point_diffusion")
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        handler.close()


def _seconds_so_far(config: DictConfig, folder: Path) -> float:
    """What a run to resume has taken until its last full stop."""
    try:
        return json.loads((folder / "metrics.json").read_text())["seconds"] if config.resume is not None else 0.0
    except (OSError, ValueError, KeyError):
        return 0.0


def _run_folder(config: DictConfig) -> Path:
    if config.resume is not None:
        return find_checkpoint(config.resume, "resume").parents[1]
    if HydraConfig.initialized():
        return Path(HydraConfig.get().runtime.output_dir)
    now = datetime.now()
    return claim(Path(config.output_dir).expanduser().absolute() / "runs" / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}")


def _store_settings(config: DictConfig, folder: Path) -> None:
    """As Hydra does, where Hydra does not: for a call from Python, and for a run that is resumed."""
    path = folder / ".hydra" / "config.yaml"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, OmegaConf.to_yaml(config))


def _trainer_options(config: DictConfig, plain: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Trainer's arguments but for the logger."""
    from lightning.pytorch.callbacks import LambdaCallback

    from point_diffusion.callbacks import (
        EMA,
        Clock,
        Draws,
        ReconstructionGrid,
        SampleQuality,
    )
    from point_diffusion.checkpoints import BestCheckpoint, LastCheckpoint
    from point_diffusion.progress import EpochProgress

    options, wanted = dict(plain["trainer"]), dict(plain["callbacks"])
    checkpoints = (folder / LAST_CHECKPOINT).parent
    callbacks: list[L.Callback] = [Clock(options.pop("max_time", None))]
    if config.resume is not None or not HydraConfig.initialized():
        # only now: settings that can't be trained with must not become the stored ones
        callbacks.append(LambdaCallback(on_train_start=lambda *_: _store_settings(config, folder)))
    if (ema := wanted.pop("ema", None)) is not None:
        callbacks.append(EMA(**ema))
    draws, judge = Draws(), None
    if (grid := wanted.pop("reconstruction", None)) is not None:
        callbacks.append(ReconstructionGrid(**grid, draws=draws))
    if (quality := wanted.pop("quality", None)) is not None:
        quality["num_samples"] = quality["num_samples"] or (grid or {}).get("num_points", 10_000)
        callbacks.append(judge := SampleQuality(**quality, draws=draws))
    if options.get("enable_progress_bar", True):
        callbacks.append(EpochProgress(judge))
    if (checkpoint := wanted.pop("checkpoint", None)) is not None:
        monitor = "val/loss" if quality is None else "val/energy_distance"
        callbacks += [BestCheckpoint(checkpoints, monitor), LastCheckpoint(checkpoints, **checkpoint)]
    # any other entry is a callback of the user's, by its _target_
    callbacks += [instantiate(each) for each in wanted.values() if each is not None]
    return {
        "default_root_dir": folder,
        "callbacks": callbacks,
        "enable_checkpointing": checkpoint is not None,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        **options,
    }


def _loggers(config: DictConfig, folder: Path, plain: Mapping[str, Any]) -> "list[Logger]":
    if not config.logger or config.trainer.get("fast_dev_run"):
        return []
    (folder / "hparams.yaml").unlink(missing_ok=True)  # a resumed run's; Lightning would keep the old one
    logger = instantiate(config.logger, save_dir=folder)
    flat = dict(_flatten({section: plain[section] for section in STORED}))
    logger.log_hyperparams(flat)
    from lightning.pytorch.loggers import TensorBoardLogger

    if isinstance(logger, TensorBoardLogger):
        from torch.utils.tensorboard.summary import hparams

        # declared now, with the tags of the curves: TensorBoard's table then follows the run from its start
        tags = ("train/loss", "val/loss", "val/energy_distance", "val/equivalent_sample_size")
        for summary in hparams(flat, dict.fromkeys(tags, 0.0)):
            logger.experiment._get_file_writer().add_summary(summary)
    return [logger]


def _flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, (int, float, str, bool)) else str(value)


def _summarise(config: DictConfig, folder: Path, metrics: Mapping[str, float]) -> None:
    from point_diffusion.tables import efficiency, tutorial, worth

    losses = "".join(f"  {name} {metrics[name]:.4f}" for name in ("train_loss", "val_loss") if name in metrics)
    lines = [f"{metrics['epochs']} epochs in {metrics['seconds']:.1f} s{losses}"]
    if "equivalent_sample_size" in metrics:
        own = worth(metrics, "train_equivalent_sample_size")
        lines.append(f"  samples   worth {worth(metrics)} real points; data efficiency {efficiency(metrics)}")
        lines.append(f"  beside    the {config.data.num_points:,} trained on are worth {own}")
        if (size := tutorial(config.data)) is not None:
            lines.append(f"            the tutorial's 4,000 epochs reach {size:,}")
    lines.append(f"  run       {_short(folder)}")
    if grids := sorted((folder / "figures").glob("reconstruction_*.png")):
        lines.append(f"  picture   {_short(grids[-1])}")
    if config.logger:
        outputs = Path(config.output_dir).expanduser().absolute()
        logdir = outputs if folder.is_relative_to(outputs) else folder
        lines.append(f"  curves    tensorboard --logdir {_short(logdir)} --samples_per_plugin images=1000")
    if (folder / LAST_CHECKPOINT).exists():
        script, more = CHECKOUT / "scripts" / "train.py", 2 * int(metrics["epochs"])
        lines.append(f"  go on     python {_short(script)} resume={_short(folder)} trainer.max_epochs={more}")
    log.info("\n".join(lines))


def _short(path: Path) -> str:
    """A path as one can type it here."""
    path = path.expanduser().absolute()
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
