"""The types of the keys that `conf/train.yaml`, `eval.yaml` and `predict.yaml` define outside groups.

The defaults are in the YAML alone; a test holds that both name the same keys. The types are
checked twice: on the arguments before anything heavy is imported, and on the composed config.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ValidationSchema:
    """`validation.*` of training."""

    every: int
    episodes: int
    held_out: float
    patience: int | None


@dataclass(frozen=True)
class TrainingSchema:
    """`training.*`: what the loop does beside the step."""

    log_every: int
    save_every: int
    clip_norm: float | None
    clip_value: float | None
    ema: float | None
    abort_after: int
    head_only: int
    freeze_batchnorm: bool


@dataclass(frozen=True)
class ScenarioSchema:
    """`scenario.*`: the stream of continual learning."""

    classes: int | None
    shots: int | None
    domains: bool
    test_share: float
    validation_share: float
    fold_seed: int
    first_length: int | None
    schedule: str
    linear_probe: bool


@dataclass(frozen=True)
class TrainSchema:
    """Keys of `conf/train.yaml`."""

    ways: int
    shots: int
    queries: int
    steps: int
    epochs: int | None
    seed: int
    device: str
    precision: str
    threads: int | None
    allocator: bool
    compile: bool
    init: str | None
    resume: str | None
    name: str | None
    output_dir: str
    report: bool
    tasks: int
    first_task: int | None
    class_order: str
    scenario: ScenarioSchema
    validation: ValidationSchema
    training: TrainingSchema


@dataclass(frozen=True)
class EvalSchema:
    """Keys of `conf/eval.yaml`."""

    run: str | None
    part: str
    seed: int
    ways: int
    shots: int | list[int]
    queries: int
    episodes: int
    device: str
    precision: str
    threads: int | None
    allocator: bool
    batch: int
    cache: bool
    output_dir: str
    report: bool


@dataclass(frozen=True)
class PredictSchema:
    """Keys of `conf/predict.yaml`."""

    support: str | None
    store: str | None
    query: str | list[str] | None
    run: str | None
    model: str | None
    size: int | None
    invert: bool | None
    top: int
    nearest: int
    temperature: float | None
    threshold: float | None
    false_alarms: float
    unreadable: str
    thumbnails: int
    device: str
    precision: str
    threads: int | None
    batch: int
    resume: str | None
    name: str | None
    output_dir: str
