"""One training run, of any recipe: its data and parts, its folder, its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from omegaconf import DictConfig

from fewshot.models.embedder import Embedder
from fewshot.recipes.model import add_train_mean, card
from fewshot.recipes.run_in_progress import running, start
from fewshot.recipes.training_data import TrainingData, training_data
from fewshot.recipes.training_parts import training_parts
from fewshot.training.device import Machine
from fewshot.training.loop import Outcome
from fewshot.training.loop import train as run_loop


class Validation(Protocol):
    """What chooses the weights: figures of an embedder on the validation classes, higher is better."""

    def __call__(self, embedder: Embedder) -> dict[str, float]: ...


@dataclass(frozen=True)
class Recipe:
    """What tells one recipe from another.

    Attributes:
        name: of the recipe; evaluation finds its runs by it.
        protocol: the published class split that `data.split=null` stands for.
        monitor: the figure of the validation that chooses the weights.
        measure: what that figure is, in words.
        validation: makes the validation; called if `validation.every` is not 0.
        evaluation: the words of eval.py that suit the run.
    """

    name: str
    protocol: str
    monitor: str
    measure: Callable[[DictConfig], str]
    validation: Callable[[TrainingData, DictConfig, Machine], Validation]
    evaluation: Callable[[DictConfig], str]


def run_training(config: DictConfig, recipe: Recipe) -> Path:
    """Train as `conf/train.yaml` says, or go on with the run that `resume` names.

    Returns:
        the run's folder: config.yaml, metrics.jsonl, last.pt, best.pt, run.json.

    Raises:
        InputError: anything the user can mend.
        Stopped: by a signal, with the state saved.
    """
    started = start(config)
    config, machine = started.config, started.machine

    # Base classes to train on, validation classes to choose by; the test classes stay untouched.
    data = training_data(config, recipe.protocol, machine.device)
    parts = training_parts(config, data, machine)
    validation = recipe.validation(data, config, machine) if data.validation is not None else None
    selection = data.selection(recipe.measure(config))

    record = {"recipe": recipe.name, "selection": selection}
    with running(started, run_name(config), record) as run:
        outcome = run_loop(
            parts.objective,
            parts.feed,
            parts.optimizer,
            parts.schedule,
            machine,
            parts.options,
            validate=validation or (lambda _: {}),
            monitor=recipe.monitor,
            tracker=run.tracker,
            folder=run.folder,
            card=lambda _: card(
                parts.network.architecture,
                parts.network.trained_on,
                selection,
                data.base.names,
                source=data.source,
            ),
            state=started.state,
        )
        add_train_mean(run.folder / "best.pt", data.base, data.image_set, machine)
        run.record.update(vars(outcome))
        run.tracker.summary(
            {f"val/{recipe.monitor}": outcome.best, "steps": outcome.steps, "seconds": outcome.seconds}
        )
        announce(run.folder, outcome, selection, recipe.measure(config), recipe.evaluation(config))
    return run.folder


def run_name(config: DictConfig) -> str:
    """What a run is called if the user gives no name: loss (or MAML), mixup and data, as they were typed."""
    choices = config.get("choices") or {}
    if (maml := config.get("maml")) is not None:
        return f"{'maml' if maml.adapt == 'all' else 'anil'}_{choices.get('data', 'data')}"
    mixup = choices.get("mixup", "none")
    mixed = "" if mixup == "none" else f"+{mixup}"
    return f"{choices.get('loss', 'loss')}{mixed}_{choices.get('data', 'data')}"


def announce(folder: Path, outcome: Outcome, selection: str, measure: str, evaluation: str) -> None:
    """Say what came out and what to type next."""
    print(f"run        {folder}")
    print(
        f"trained    {outcome.steps} steps in {outcome.seconds:.0f} s"
        + (", stopped early" if outcome.early else "")
    )
    if outcome.skipped:
        print(f"skipped    {outcome.skipped} steps that were not finite")
    if outcome.best is not None:
        print(f"validation {100 * outcome.best:.2f}% {measure}, after step {outcome.best_step}")
    print(f"weights    {selection}")
    print(f"next       python eval.py run={folder} {evaluation}")
