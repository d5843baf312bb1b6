"""Few-shot classification by MAML and ANIL: the network is adapted to the support of every episode."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fewshot.config import instantiate
from fewshot.errors import InputError
from fewshot.evaluation.result_files import save_result
from fewshot.objectives.adaptation import Adaptation
from fewshot.progress import Progress
from fewshot.recipes.adapted_episodes import adapted_curve
from fewshot.recipes.few_shot_evaluation import print_accuracy, result_name, shots_of, testbed_of
from fewshot.recipes.run_record import load_config
from fewshot.recipes.subject import Subject


@dataclass(frozen=True)
class MAMLEvaluation:
    """Accuracy on the testbed that the other methods face, as `ways`, `shots`, `queries` and `episodes` say.

    Attributes:
        inner_steps: on each support; None: as in training.
        statistics: of BatchNorm, batch or support; None: as in training.
    """

    inner_steps: int | None = None
    statistics: str | None = None

    def __call__(self, config: DictConfig) -> Path:
        """Evaluate, print the summary and save the result.

        Returns:
            the path of result.json; episodes.npz lies beside it.

        Raises:
            InputError: anything the user can mend.
        """
        began = time.monotonic()
        shots = shots_of(config)
        subject = Subject.open(config, "maml")
        subject.machine.processes.require_one("evaluation=maml")
        adaptation = self._adaptation(subject.path.parent)
        testbed = testbed_of(config, subject, shots)
        loaded = time.monotonic()
        with Progress(f"adapting by {adaptation.name}", len(testbed), "episodes") as progress:
            curve = adapted_curve(
                subject.model.embedder,
                subject.image_set,
                testbed,
                adaptation,
                shots,
                subject.machine,
                progress.advance,
            )
        ended = time.monotonic()

        transductive = adaptation.transductive(subject.model.embedder)
        details: dict[str, Any] = {
            **subject.details(),
            "classifier": adaptation.name,
            "adaptation": asdict(adaptation),
            "transductive": transductive,
            "seconds": {"loading": loaded - began, "episodes": ended - loaded},
        }
        how = f"{adaptation.name}-{adaptation.inner_steps}-{adaptation.statistics}"
        folder = subject.path.parent / "eval" / result_name(config, subject.source, shots, how)
        saved = save_result(folder, curve, testbed, subject.image_set.class_names, details)
        print_accuracy(subject, testbed, curve, self._told(adaptation), transductive)
        print(f"time       {loaded - began:.1f} s to load, {ended - loaded:.1f} s for the episodes")
        print(f"saved      {saved}")
        return saved

    def _adaptation(self, run: Path) -> Adaptation:
        """The inner loop that a run was trained with, and what is asked for instead.

        Raises:
            InputError: the run was trained by another recipe.
        """
        node = load_config(run).get("maml")
        if node is None:
            raise InputError(
                f"run={run}: evaluation=maml is for a run of recipe=maml; leave it out, and compare the "
                "results by their folders"
            )
        trained: Adaptation = instantiate(node)
        # Nothing is differentiated through the steps of a test.
        return replace(
            trained,
            first_order=True,
            inner_steps=trained.inner_steps if self.inner_steps is None else self.inner_steps,
            statistics=trained.statistics if self.statistics is None else self.statistics,
        )

    @staticmethod
    def _told(adaptation: Adaptation) -> str:
        steps = "1 step" if adaptation.inner_steps == 1 else f"{adaptation.inner_steps} steps"
        return f"{adaptation.name}, {steps} at {adaptation.inner_lr} on each support"
