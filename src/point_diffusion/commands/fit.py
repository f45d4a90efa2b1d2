"""A model of points that are at hand in Python: one call, without a config and without a file."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from point_diffusion.commands.train import train_in_folder
from point_diffusion.common.errors import UsageError, first_line
from point_diffusion.common.files import atomic_write
from point_diffusion.common.paths import CHECKOUT, typed_path
from point_diffusion.common.text import typed_value
from point_diffusion.config.own_parts import register
from point_diffusion.runs.load import load_run
from point_diffusion.runs.run import Run

HOLDOUT = 0.1


def fit(
    array: Any,
    names: Sequence[str] | None = None,
    labels: Sequence[Any] | None = None,
    condition: Sequence[str] | None = None,
    epochs: int | None = None,
    seed: int = 1234,
    output_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Train a model on points, with the settings of ``experiment=recommended``.

    The points are kept in ``data/`` of the output folder, by a name of their content, so that the run can be
    evaluated, resumed and compared as one that was trained on a file.

    Args:
        array: shape (N, dim), of numpy or torch, or a frame of pandas or polars.
        names: of the columns; None: those of a frame, or x, y, z.
        labels: a class for each point, to be conditioned on.
        condition: the names of columns that the others are conditioned on.
        epochs: None: 130, or of few points more, see :func:`point_diffusion.training.settle.amount`.
        seed: draws all that is random.
        output_dir: where the run's folder is made; None: ``outputs/`` of the checkout.
        settings: any other keys of ``scripts/train.py``, by their full names.

    Returns:
        The run, see :func:`point_diffusion.load_run`.

    Raises:
        UsageError: these are no points, or a value is wrong.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    from point_diffusion.data.source import TableSource
    from point_diffusion.data.table import choose, frame_of

    told = list(condition) if condition is not None and not isinstance(condition, str) else condition
    own = dict(settings or {})
    whole = frame_of(array, names, labels)
    label = own.get("data.label", None if labels is None else "label")
    table = choose(whole, own.get("data.columns"), label, told, own.get("data.missing", "refuse"), named="array")
    try:
        TableSource(table, HOLDOUT)
    except ValueError as error:
        raise UsageError(f"array: {error}") from None
    frame = whole.frame
    content = hashlib.blake2b(frame.hash_rows(seed=0).to_numpy().tobytes(), digest_size=8)
    content.update(repr(frame.schema).encode())
    outputs = CHECKOUT / "outputs" if output_dir is None else typed_path(str(output_dir))
    path = outputs / "data" / f"{content.hexdigest()}.parquet"
    if not path.exists():
        with atomic_write(path) as part:
            frame.write_parquet(part)
    asked: dict[str, Any] = {
        "experiment": "recommended",
        "data": "file",
        "data.path": str(path),
        "data.stream": False,  # the points are in memory
        "data.holdout": HOLDOUT,
        **({} if epochs is None else {"trainer.max_epochs": epochs}),
        "seed": seed,
        "data.seed": seed,
        "output_dir": str(outputs),
        **({} if labels is None else {"data.label": "label"}),
        **({} if told is None else {"data.condition": [told] if isinstance(told, str) else told}),
        **own,
    }
    if not (CHECKOUT / "conf").is_dir():
        raise UsageError(f"{CHECKOUT / 'conf'}: no such folder; fit needs the checkout's settings")
    register(own.get("plugins") or ())
    try:
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
            config = compose("train", [f"{key}={typed_value(value)}" for key, value in asked.items()])
    except HydraException as error:
        raise UsageError(f"settings: {first_line(error.__cause__ or error)}") from None
    return load_run(train_in_folder(config)[0])
