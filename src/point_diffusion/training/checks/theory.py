"""Whether schedule, network, sampler and objective go together: what shows when they are built."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from point_diffusion.common.errors import first_line
from point_diffusion.registry import MEAN_FLOW, NETWORKS, PREDICTION_TYPES, SAMPLERS


def theory_problems(settings: Mapping[str, Any], _: object) -> Iterator[str]:
    """What only shows when the betas are computed."""
    from point_diffusion.samplers import build_sampler, check_sampler
    from point_diffusion.schedule import build_schedule

    built: dict[str, Any] = {}
    for section, build in (("schedule", build_schedule), ("sampler", build_sampler)):
        try:
            built[section] = build(settings[section])
        except ValueError as error:
            yield f"{section}.{error}"
        except TypeError as error:
            yield f"{section}.name={settings[section]['name']}: {first_line(error)}; choose it by {section}=NAME"
    try:
        arguments = {name: value for name, value in settings["model"].items() if name != "name"}
        inspect.signature(NETWORKS[settings["model"]["name"]]).bind(dim=1, num_step=1, **arguments)
    except TypeError as error:
        yield f"model.name={settings['model']['name']}: {first_line(error)}; choose it by model=NAME"
    if len(built) == 2:
        try:
            check_sampler(**built, prediction=PREDICTION_TYPES[settings["module"]["prediction_type"]]())
        except ValueError as error:
            yield f"sampler={settings['sampler']['name']}: {error}"


def objective_problems(settings: Mapping[str, Any], _: object) -> Iterator[str]:
    """What an objective can't do without, and who can't do without it."""
    module, sampler, network = settings["module"], settings["sampler"]["name"], settings["model"]["name"]
    if (widening := module.get("noise_widening")) and not module["stable_target"]:
        yield f"module.noise_widening={widening}: must be 0 without module.stable_target"
    if module.get("objective") != MEAN_FLOW:
        if getattr(SAMPLERS[sampler], "jumps", False):
            yield f"sampler={sampler}: needs module.objective=mean_flow, as experiment=mean_flow has it"
        return
    line = "module.objective=mean_flow"
    if not hasattr(NETWORKS[network], "average_velocity"):
        yield f"{line}: needs model=interval_mlp, not {network}"
    if module["prediction_type"] != "flow":
        yield f"{line}: needs module.prediction_type=flow, not {module['prediction_type']}"
    if (weighting := module.get("loss_weighting", "simple")) != "simple":
        yield f"{line}: has weights of its own; module.loss_weighting={weighting}: must be simple"
