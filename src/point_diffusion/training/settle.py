"""What an experiment leaves to the choices that are taken, and to the number of points."""

from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from point_diffusion.config.convert import drop, plain, select
from point_diffusion.config.keys import AUTO, known
from point_diffusion.config.schema import CHOOSERS, SECTIONS, SHARED
from point_diffusion.config.validate import argument_types

BATCHES = 4  # an epoch, at least: with one, few points are memorised sooner than their shape is learned
FULL_BATCH, FULL_LR = 512, 1e-2  # of recommended
EPOCHS = 130  # at least
STEPS = 4_000  # in small batches, at least


@dataclass(frozen=True)
class Amount:
    """How much to train: what ``auto`` stands for."""

    batch_size: int = FULL_BATCH
    lr: float = FULL_LR
    epochs: int = EPOCHS


def amount(num_points: int, batch_size: int | None = None) -> Amount:
    """How much to train on so many points.

    Few points make short epochs: they have smaller batches, and with these more epochs. The noise of a step's
    gradient grows as batches get smaller, and the learning rate falls with their root. Full batches keep their
    epochs: with more, 3,000 points of an S-curve are overfitted, by the likelihood of others.

    Args:
        num_points: to train on.
        batch_size: one that is asked for; None: any.
    """
    largest = 2 ** max(0, (num_points // BATCHES).bit_length() - 1)
    chosen = min(FULL_BATCH, largest) if batch_size is None else batch_size
    steps = STEPS if chosen < FULL_BATCH else 0
    rate = FULL_LR * min(1.0, chosen / FULL_BATCH) ** 0.5
    return Amount(chosen, float(f"{rate:.2g}"), max(EPOCHS, -(-steps // -(-num_points // chosen))))


def settle(config: DictConfig) -> None:
    """Give values to what an experiment leaves open, in place."""
    _drop_unused(config)
    _resolve_auto(config)


def _resolve_auto(config: DictConfig) -> None:
    places = {"data.batch_size": "batch_size", "optimizer.lr": "lr", "trainer.max_epochs": "epochs"}
    raw: Any = OmegaConf.to_container(config)  # as written: what refers to others is settled there
    if open_keys := [key for key in places if select(raw, key) == AUTO]:
        found = _amount(config, select(raw, "data.batch_size"))
        with read_write(config):
            for key in open_keys:
                OmegaConf.update(config, key, getattr(found, places[key]))


def _amount(config: DictConfig, asked: object) -> Amount:
    """By the run's points; of wrong ones, of which a line is soon said, that of many."""
    from point_diffusion.data.source import build_source

    batch_size = asked if isinstance(asked, int) and asked > 0 else None
    try:
        return amount(build_source(plain(config.data)).num_points, batch_size)
    except Exception:  # a file that is not there, a shape of the user's that fails: checked, and named, next
        return Amount()


def _drop_unused(config: DictConfig) -> None:
    """Leave out what an experiment sets for choices that are not taken: beta_end, say, of another schedule."""
    typed: list[str] = []
    if HydraConfig.initialized():
        if HydraConfig.get().runtime.choices.get("experiment") is None:
            return  # without torch, which the arguments of what is chosen need
        typed = [text.lstrip("+") for text in HydraConfig.get().overrides.task]
    for section in ("schedule", "model", "sampler"):
        chooser, registry = CHOOSERS[section]
        node = config.get(section)
        by_name = any(text.startswith(f"{section}.{chooser}=") for text in typed)
        if not isinstance(node, DictConfig) or node.get(chooser) not in registry or by_name:
            continue  # an error soon
        arguments = argument_types(registry[node[chooser]])
        for name, item in known(SECTIONS[section]).items():
            is_typed = any(text.startswith(f"{section}.{name}=") for text in typed)
            used = item.metadata["required"] or name in (chooser, *arguments, *SHARED.get(section, ()))
            if name in node and not used and not is_typed:
                with read_write(config), open_dict(config):
                    drop(node, name)
