"""What a prediction would do, found out without decoding an image or fetching weights."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from fewshot.data.labelling import find_query, find_support
from fewshot.errors import InputError
from fewshot.recipes.encoder import Encoder
from fewshot.recipes.plan import Lines, machine_line, refuse_unwritable
from fewshot.recipes.prediction_config import called, check, config_of
from fewshot.recipes.store import Store
from fewshot.training.device import Machine, set_up


def plan_prediction(config: DictConfig) -> Lines:
    """What `predict.py` would do with the config.

    Raises:
        InputError: whatever would keep it from starting.
    """
    resumed = None if config.resume is None else Path(config.resume)
    if resumed is not None:
        config = config_of(resumed, config)
    check(config)
    machine = set_up(config.device, config.precision, config.threads)
    query = find_query(config.query)
    lines = [("would", f"label {len(query.paths):,} images" if resumed is None else f"go on with {resumed}")]
    if config.get("store") is None:
        found = find_support(config.support)
        lines.append(("support", f"{len(set(found.classes))} classes, {len(found.paths):,} images"))
    else:
        store = Store.read(Path(config.store).expanduser())
        lines.append(("support", f"{config.store}, {len(store.classes)} classes"))
    lines += [("model", _model(config, machine)), ("classifier", str(config.choices.classifier))]
    lines.append(("machine", machine_line(machine)))
    if resumed is None:
        refuse_unwritable(Path(config.output_dir))
        writes = f"{config.output_dir}/DATE_TIME_predict-{config.name or called(config)}_XXXX/"
        lines.append(("writes", writes))
    return lines


def _model(config: DictConfig, machine: Machine) -> str:
    if config.backbone is None:
        return "the store's own" if config.get("store") is not None else Encoder.open(config, machine).name
    weights = config.backbone.get("weights")
    if weights is not None and not Path(weights).expanduser().is_file():
        raise InputError(f"backbone.weights={weights}: there is no such file")
    origin = "its published weights, which the first run fetches" if weights is None else weights
    return f"{config.choices.backbone} {config.backbone.get('name', '')}, {origin}"
