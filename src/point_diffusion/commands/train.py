"""One training run: from a composed config to a run folder and its final metrics."""

import json
import logging
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from point_diffusion.common.errors import UsageError, memory_for, told
from point_diffusion.common.files import whole_file, write_whole
from point_diffusion.common.paths import CHECKOUT, typable, typed_path
from point_diffusion.common.signals import Interruption, Stopped, check_stopped
from point_diffusion.common.text import show
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT, find_checkpoint
from point_diffusion.runs.folders import claim
from point_diffusion.runs.run import logged_curves
from point_diffusion.runs.settings import check_foreign, differences, stored_settings
from point_diffusion.runs.status import METRICS, finished_metrics, held
from point_diffusion.training.arguments import hush
from point_diffusion.training.preflight import checkpoint_of, prepare

log = logging.getLogger(__name__)

# what a checkpoint stores: enough to rebuild the model, and to say how it was trained
STORED = (
    "seed",
    "num_step",
    "float32_matmul_precision",
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
HEAVY = ("model.num_units", "data.batch_size")  # what a step's memory grows with


def train(config: DictConfig) -> dict[str, float]:
    """Train as ``config`` says, write the run folder, and return the final metrics.

    Under Hydra the run folder is Hydra's; else a new one is made below ``config.output_dir``. A job of a sweep
    whose folder holds its own earlier try goes on with that, or is done if that has finished.

    Args:
        config: composed from ``conf/train.yaml``.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UsageError: a value is wrong, the folder holds another run already, or the training diverged.
        SystemExit: a signal stopped it; with 130 (SIGINT) or 143 (SIGTERM).
    """
    in_sweep = _in_sweep()
    if not in_sweep:
        prepare(config)
    folder = _run_folder(config)
    with held(folder), _log_to(folder):
        if in_sweep and (metrics := _earlier_try(config, folder)):
            return metrics
        if config.resume is None:
            if (folder / LAST_CHECKPOINT).exists():
                raise UsageError(f"{folder}: holds a run already; resume={folder} goes on with it")
            _store_settings(config, folder)
        if in_sweep:
            prepare(config)
        try:
            return _train(config, folder)
        except Stopped as end:
            log.info("%s; %s", end.text, _go_on(folder))
            raise
        except SystemExit as end:  # a callback's: it would end a sweep without a word
            raise RuntimeError(f"something called for an exit ({end.code})") from end


def _earlier_try(config: DictConfig, folder: Path) -> dict[str, float]:
    """What an earlier try of a sweep's job has come to: its metrics if it has finished; else the config is set to
    go on from its checkpoint, if there is one.
    """
    metrics = finished_metrics(folder)
    if not metrics and not (folder / LAST_CHECKPOINT).exists():
        return {}
    stored = stored_settings(folder, "hydra.sweep.dir")
    stored.pop("output_dir", None)  # of the machine, not of the run
    check_foreign(stored, config, f"hydra.sweep.dir={folder.parent}")
    changed = differences(stored, config)
    if changed:
        what = "; ".join(f"{key}={show(before)}, now {show(now)}" for key, (before, now) in changed.items())
        raise UsageError(f"{folder}: holds a run with other settings ({what}); use another sweep folder")
    if metrics:
        log.info("finished before: %s", typable(folder))
    else:
        config.resume, config.ckpt_path = str(folder), None
    return metrics


def _train(config: DictConfig, folder: Path) -> dict[str, float]:
    import torch
    from lightning.pytorch.callbacks import LambdaCallback

    from point_diffusion.common.seeds import derive_seed
    from point_diffusion.data.datamodule import PointSetDataModule
    from point_diffusion.training.module import DiffusionModule
    from point_diffusion.training.trainer import build_trainer, outcome, whole_epochs

    check_stopped()
    started = time.monotonic()
    hush()
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # there is nothing to load
    warnings.filterwarnings("ignore", message=".*logging interval.*")  # losses are logged once an epoch
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")  # so it is when a run goes on
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # between Lightning and torch
    torch.set_num_threads(config.num_threads)
    torch.set_float32_matmul_precision(config.float32_matmul_precision)

    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    with Interruption() as interruption, _quiet_threads():
        with memory_for(f"data.num_points={config.data.num_points}"):
            whole = whole_epochs(config)
            data = PointSetDataModule(**plain["data"], order_seed=plain["seed"], whole_epochs=whole)
        plain["data"]["dim"] = data.dim
        stored = {section: plain[section] for section in STORED}
        trainer = build_trainer(config, stored, folder, interruption, started, whole, alone=_alone())
        begun, hooks = threading.Event(), {"on_train_start": lambda *_: begun.set()}
        if config.resume is not None:
            # only now: settings that can't be trained with must not become the stored ones
            hooks["on_fit_start"] = lambda *_: _begin_anew(config, folder)
        trainer.callbacks.append(LambdaCallback(**hooks))  # type: ignore[attr-defined]
        log.info("run folder: %s", typable(folder))
        ended: BaseException | None = None
        with torch.random.fork_rng():  # the caller's random state stays as it was
            torch.manual_seed(derive_seed(plain["seed"], "weights"))
            asked = ", ".join(f"{key}={OmegaConf.select(config, key)}" for key in HEAVY)
            with memory_for(asked):
                module = DiffusionModule(stored, whole)
                if config.trainer.get("precision") == "64-true":
                    module.double()  # now: Lightning does so after it has loaded a checkpoint
            module.diffusion.describe_data(data.train_points)
            health, advice = module.diffusion.health()
            log.info("%s", advice)
            try:
                with memory_for(asked):
                    trainer.fit(module, data, ckpt_path=checkpoint_of(config), weights_only=True)
            except (Exception, SystemExit) as error:
                ended = error
        if ended is not None and not begun.is_set():
            raise _unfit(ended, config)

        kept = outcome(trainer, whole=ended is None)
        stopped = interruption.signal is not None
        metrics = {
            "finished": ended is None and not stopped,
            "epochs": kept.epochs,
            "seconds": kept.seconds,
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
            **health,
            **kept.losses,
            **kept.final,
        }
        with nullcontext() if ended is None else suppress(UsageError):
            _write_metrics(folder, {**metrics, "finished": False})  # a signal may come amid the last picture
            if metrics["finished"]:
                _draw_curves(folder, plain)
                _write_metrics(folder, metrics)
    if isinstance(ended, OSError) and ended.filename is None:
        ended.filename = str(folder)  # a logger's thread does not say
    if isinstance(ended, (UsageError, OSError)):
        raise UsageError(f"{told(ended)}; {_what_is_kept(folder, kept.epochs, ended)}")
    if ended is not None:
        raise ended
    if stopped:
        raise Stopped(interruption.code, f"stopped after epoch {kept.epochs} of {trainer.max_epochs}")
    _summarise(config, folder, metrics)
    return metrics


def _unfit(error: BaseException, config: DictConfig) -> BaseException:
    """What to say of an error that has ended a run before its first step."""
    path = checkpoint_of(config)
    if path is None or isinstance(error, (UsageError, OSError, SystemExit)):
        return error
    wrapped = RuntimeError(f"{path}: can't be gone on from ({told(error)})")
    wrapped.__cause__ = error
    return wrapped


def _what_is_kept(folder: Path, epochs: int, error: BaseException) -> str:
    """What an error has left of a run, and how to go on from there, where that would help."""
    from point_diffusion.training.module import DivergenceError

    there, lost = (folder / LAST_CHECKPOINT).exists(), isinstance(error, DivergenceError)
    kept = [f"epoch {epochs} is kept in {typable(folder)}"] if there else []
    again = [] if lost else [_go_on(folder)]
    return ", ".join(kept + again) or "no checkpoint was written before"


def _go_on(folder: Path) -> str:
    """How to go on with a run that was stopped."""
    if _in_sweep():
        return f"the same command with hydra.sweep.dir={typable(folder.parent)} goes on"
    if not (folder / LAST_CHECKPOINT).exists():
        return "it has no checkpoint yet, the same command begins anew"
    return f"go on: python {typable(CHECKOUT / 'scripts' / 'train.py')} resume={typable(folder)}"


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """A logger's thread that can't write hands its error on to us; its own traceback is no news."""
    loud = threading.excepthook
    threading.excepthook = lambda args: None if issubclass(args.exc_type, OSError) else loud(args)
    try:
        yield
    finally:
        threading.excepthook = loud


def _in_sweep() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def _alone() -> bool:
    """Whether no other job of a sweep is shown on the same screen."""
    return not _in_sweep() or "basic_launcher" in HydraConfig.get().launcher["_target_"]


def _draw_curves(folder: Path, plain: Mapping[str, Any]) -> None:
    """The curves that TensorBoard shows, as one picture beside the others."""
    wanted = plain["callbacks"].get("reconstruction")
    if wanted is None or not (curves := logged_curves(folder)):
        return
    from PIL import Image

    from point_diffusion.report.charts import training_curves
    from point_diffusion.report.style import look, pixels

    with look(wanted["style"]):
        picture = Image.fromarray(pixels(training_curves(curves)))
    with whole_file(folder / "figures" / "curves.png") as part:
        picture.save(part)


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


def _run_folder(config: DictConfig) -> Path:
    if config.resume is not None:
        return find_checkpoint(config.resume, "resume").parents[1]
    if HydraConfig.initialized():
        return Path(HydraConfig.get().runtime.output_dir)
    now = datetime.now()
    return claim(typed_path(config.output_dir) / "runs" / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}")


def _begin_anew(config: DictConfig, folder: Path) -> None:
    """Store the settings of a run that begins or goes on, whose figures of before are no longer its own."""
    _store_settings(config, folder)
    if metrics := finished_metrics(folder):
        _write_metrics(folder, {**metrics, "finished": False})


def _write_metrics(folder: Path, metrics: Mapping[str, float]) -> None:
    write_whole(folder / METRICS, json.dumps(metrics, indent=2) + "\n")


def _store_settings(config: DictConfig, folder: Path) -> None:
    """As Hydra does, but only by who holds the folder: who comes second must not leave its own there."""
    place = folder / ".hydra"
    place.mkdir(exist_ok=True)
    write_whole(place / "config.yaml", OmegaConf.to_yaml(config))
    if HydraConfig.initialized() and config.resume is None:
        write_whole(place / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.create({"hydra": HydraConfig.get()})))
        write_whole(place / "overrides.yaml", OmegaConf.to_yaml(HydraConfig.get().overrides.task))


def _summarise(config: DictConfig, folder: Path, metrics: Mapping[str, float]) -> None:
    from point_diffusion.report.tables import efficiency, tutorial, worth

    losses = "".join(f"  {name} {metrics[name]:.4f}" for name in ("train_loss", "val_loss") if name in metrics)
    lines = [f"{metrics['epochs']} epochs in {metrics['seconds']:.1f} s{losses}"]
    if "equivalent_sample_size" in metrics:
        own = worth(metrics, "train_equivalent_sample_size")
        lines.append(f"  samples   worth {worth(metrics)} real points; data efficiency {efficiency(metrics)}")
        lines.append(f"  beside    the {config.data.num_points:,} trained on are worth {own}")
        if (size := tutorial(config.data)) is not None:
            lines.append(f"            the tutorial's 4,000 epochs reach {size:,}")
    elif config.callbacks.get("quality") is not None and not config.trainer.get("fast_dev_run"):
        lines.append("  samples   are not finite numbers, and have no figures: the training has diverged")
    if _in_sweep():
        log.info("\n".join(lines))  # the rest would be said once for each job
        return
    lines.append(f"  run       {typable(folder)}")
    if grids := sorted((folder / "figures").glob("reconstruction_*.png")):
        lines.append(f"  picture   {typable(grids[-1])}")
    if config.logger:
        outputs = typed_path(config.output_dir)
        logdir = outputs if folder.is_relative_to(outputs) else folder
        lines.append(f"  curves    tensorboard --logdir {typable(logdir)} --samples_per_plugin images=1000")
    if (folder / LAST_CHECKPOINT).exists():
        script, more = CHECKOUT / "scripts" / "train.py", 2 * int(metrics["epochs"])
        lines.append(f"  go on     python {typable(script)} resume={typable(folder)} trainer.max_epochs={more}")
    log.info("\n".join(lines))
