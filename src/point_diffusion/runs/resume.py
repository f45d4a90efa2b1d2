"""What resumes a run: in its own folder with its stored settings, as a sweep's job, or in a new folder."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.files import writable
from point_diffusion.common.paths import CHECKOUT, typed_path
from point_diffusion.common.text import show, typed_value
from point_diffusion.config.convert import drop, flatten, loggers, select, user_callbacks
from point_diffusion.registry import FILE
from point_diffusion.runs.checkpoint import LAST_CHECKPOINT, find_checkpoint, read_checkpoint, unregistered
from point_diffusion.runs.settings import differences, stored_settings
from point_diffusion.runs.status import finished_metrics

if TYPE_CHECKING:
    from point_diffusion.data.source import Source

LOGGERS = CHECKOUT / "conf" / "logger"
# what must not change when a run is resumed: it shapes the tensors, or gives them their meaning
FIXED = (
    "schedule",
    "model",
    "module.prediction_type",
    "data.shape",
    "data.scaling",
    "data.scale",
    "optimizer.name",
    "lr_scheduler",
)


def resume_settings(config: DictConfig, typed: Sequence[str]) -> Path:
    """Put the stored settings of the run ``config.resume`` in the place of ``config``'s, but for what was typed.

    Args:
        config: as composed from what was typed; changed.
        typed: the overrides.

    Returns:
        The run's folder.

    Raises:
        UsageError: it is not a run that can be resumed.
    """
    folder = typed_path(config.resume)
    if folder.is_file():
        raise UsageError(f"resume={config.resume}: must be a run folder; ckpt_path takes a checkpoint")
    find_checkpoint(config.resume, "resume")
    writable(folder, "resume")
    stored = stored_settings(folder, "resume")
    drop(stored, "hydra")  # never stored by us; its logging could name any class
    stored.ckpt_path = None  # the run has a checkpoint of its own by now
    drop(stored, "output_dir")  # of the machine, not of the run
    drop(stored, "plugins")  # of an untrusted run: they are imported where they are typed
    composed: Any = OmegaConf.to_container(config, resolve=False)
    del composed["hydra"]
    for override in OverridesParser.create().parse_overrides(list(typed)):
        if override.key_or_group == "experiment":
            raise UsageError(f"{override.input_line}: is for new runs; one that is resumed keeps its settings")
        # a choice of a group stands in a section of its name; a typed class comes with what is typed for it alone
        key = override.package or override.key_or_group.replace("/", ".").removesuffix("._target_")
        OmegaConf.update(stored, key, select(composed, key), merge=False, force_add=True)
    _check_untrusted(stored, OmegaConf.create(composed), f"resume={config.resume}")
    if unknown := unregistered(stored):
        raise UsageError(f"resume={config.resume}: {unknown}")
    for name, section in OmegaConf.to_container(stored, resolve=False).items():  # type: ignore[union-attr]
        OmegaConf.update(config, str(name), section, merge=False, force_add=True)
    config.resume = str(folder)
    return folder


def earlier_try(config: DictConfig, folder: Path) -> tuple[dict[str, Any], Path | None]:
    """What an earlier try of a sweep's job has left in its folder.

    Returns:
        Its metrics, empty unless it has finished; and the checkpoint to resume from, if it has not.

    Raises:
        UsageError: it had other settings.
    """
    metrics, checkpoint = finished_metrics(folder), folder / LAST_CHECKPOINT
    if not metrics and not checkpoint.exists():
        return {}, None
    stored = stored_settings(folder, "hydra.sweep.dir")
    drop(stored, "output_dir")  # of the machine, not of the run
    _check_untrusted(stored, config, f"hydra.sweep.dir={folder.parent}")
    plain: list[Any] = [OmegaConf.to_container(each, resolve=True) for each in (stored, config)]
    if changed := differences(*plain):
        what = "; ".join(f"{key}={show(pair[0])}, now {show(pair[1])}" for key, pair in changed.items())
        raise UsageError(f"{folder}: holds a run with other settings ({what}); use another sweep folder")
    return metrics, None if metrics else checkpoint


def typed_again(settings: Mapping[str, Any]) -> list[str]:
    """The overrides that :func:`resume_settings` wants: of the loggers and callbacks that are not shipped.

    Args:
        settings: all of a run's, resolved.
    """
    lines, shipped = [], _shipped("logger")
    if plugins := settings.get("plugins"):
        lines.append(f"plugins={typed_value(plugins)}")
    for name, node in (loggers(settings["logger"]) | user_callbacks(settings)).items():
        if node not in shipped:
            for key, value in node.items():
                full = f"{name}.{key}"
                lines.append(f"{'' if full == 'logger._target_' else '+'}{full}={typed_value(value)}")
    return lines


def checkpoint_of(settings: Mapping[str, Any]) -> Path | None:
    """The checkpoint that settings name: of the run in ``resume``, or ``ckpt_path``.

    Raises:
        UsageError: it is not there.
    """
    for key in ("ckpt_path", "resume"):
        if settings[key] is not None:
            return find_checkpoint(settings[key], key)
    return None


def misfits(settings: Mapping[str, Any], path: Path, source: "Source") -> Iterator[str]:
    """How settings and the checkpoint to resume from disagree, a line each.

    Args:
        settings: all of a run's, resolved.
        path: of the checkpoint.
        source: of the run's points.

    Raises:
        UsageError: the checkpoint can't be used at all.
    """
    key = "resume" if settings["ckpt_path"] is None else "ckpt_path"
    checkpoint = read_checkpoint(path, key)
    stored = checkpoint["hyper_parameters"]["config"]
    is_file = settings["data"].get("shape") == FILE  # of which another part would be held out
    for section in (*FIXED, *(("data.seed", "data.holdout") if is_file else ())):
        before, now = select(stored, section), select(settings, section)
        pairs = {section: (before, now)}
        if isinstance(now, dict):
            pairs = {f"{section}.{name}": ((before or {}).get(name), now[name]) for name in now}
        for name, (old, new) in pairs.items():
            if old != new:
                yield f"{name}={show(new)}: must be {show(old)}, as in the checkpoint {path}"
    if is_file and (line := _other_reading(settings["data"], stored["data"], path)):
        yield line
        return
    yield from _other_points(settings, source, checkpoint["hyper_parameters"]["points"], path)
    averaged = stored["callbacks"].get("ema") is not None
    if (settings["callbacks"].get("ema") is not None) != averaged:
        yield f"callbacks.ema: must be {'on' if averaged else 'null'}, as in {path}"
    trained, asked = checkpoint["epoch"] + 1, settings["trainer"]["max_epochs"]
    # a run that was stopped after its last epoch still has its final figures to come
    complete = settings["resume"] is None or bool(finished_metrics(path.parents[1]))
    if trained > asked or (trained == asked and complete):
        yield f"trainer.max_epochs={asked}: must be above {trained}, which {path} has trained"


def _other_reading(data: Mapping[str, Any], stored: Mapping[str, Any], path: Path) -> str:
    """A line where a file is read in blocks by now, or no longer is: other rows would be held out."""
    from point_diffusion.data.streams.choice import is_streamed

    before, now = (is_streamed({**data, "stream": each.get("stream", False)}) for each in (stored, data))
    if before == now:
        return ""
    named = f"data.stream={show(data.get('stream', False))}"
    return f"{named}: must be {show(before)}, as in the checkpoint {path}"


def _other_points(
    settings: Mapping[str, Any], source: "Source", stored: Mapping[str, Any], path: Path
) -> Iterator[str]:
    """How a run's points are other ones than those of the checkpoint, a line."""
    data = settings["data"]
    path_of = data.get("path")
    key = f"data.path={path_of}" if path_of else f"data.shape={data['shape']}"
    for name, words in (("columns", "the columns"), ("classes", "the classes"), ("condition", "the conditions")):
        if (now := list(getattr(source, name))) != (before := list(stored.get(name, ()))):
            shown = ("; ".join(", ".join(each[:20]) or "none" for each in (now, before))).split("; ")
            yield f"{key}: {words} are {shown[0]}; must be {shown[1]}, as in the checkpoint {path}"
            return
    if settings["resume"] is not None and source.fingerprint != stored.get("fingerprint"):
        yield f"{key}: holds other points than the run was trained on; ckpt_path={path} begins a new run with them"


def _check_untrusted(stored: DictConfig, typed: DictConfig, key: str) -> None:
    """Refuse stored settings that would do more than set values, as they may be an untrusted run's.

    Args:
        stored: the settings.
        typed: what the user's own command line is composed to; what stands there in the same place is fine.
        key: what they were given for, to be named in an error.

    Raises:
        UsageError: there is a ``_target_``, which can do anything, where neither a logger of ``conf/`` nor the
            user's own command has the same; or something is looked up outside of the settings.
    """
    own, its = (dict(flatten(_plain(each, key, resolve=False))) for each in (typed, stored))
    for name, value in its.items():
        # a reference to another key is fine
        if re.search(r"\$\{.*:", str(value), re.DOTALL) and value != own.get(name):
            raise UsageError(f"{key}: its setting {name}={value} looks up more than settings; type it again")
    targets, shipped = dict(_targets(_plain(typed, key))), _shipped(key)
    for name, node in _targets(_plain(stored, key)):
        if node != targets.get(name) and node not in shipped:
            target = f"{name}._target_={node['_target_']}"
            raise UsageError(
                f"{key}: its settings have {target}, which may do anything; to allow it, type it again"
            )


def _shipped(key: str) -> list[Mapping[str, Any]]:
    files = [_plain(OmegaConf.load(path), key) for path in sorted(LOGGERS.glob("*.yaml"))]
    return [node for file in files for _, node in _targets(file)]


def _plain(config: Any, key: str, resolve: bool = True) -> dict[str, Any]:
    try:
        return OmegaConf.to_container(config, resolve=resolve)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UsageError(f"{key}: its settings can't be resolved ({first_line(error)})") from None


def _targets(node: Any, name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nodes from which objects are made, by the full names of their keys."""
    if isinstance(node, dict) and node.get("_target_") is not None:
        yield name, node
        return
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for last, each in parts:
        yield from _targets(each, f"{name}.{last}".lstrip("."))
