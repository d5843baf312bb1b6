"""An evaluation opened again: its images, embeddings and episodes, for pictures of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from fewshot.config import instantiate
from fewshot.data import catalogue
from fewshot.data.image_set import ImageSet
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.evaluation.embedding_cache import EmbeddingCache, embedding_key
from fewshot.evaluation.embeddings import Embeddings, embed
from fewshot.evaluation.evaluated_images import EvaluatedImages, evenly
from fewshot.recipes.few_shot_evaluation import with_mean
from fewshot.recipes.model import Model, load_model, model_file
from fewshot.recipes.run_record import load_config
from fewshot.recipes.stream_parts import scenario_of
from fewshot.recipes.subject import protocol_of, source_for
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.testbed import Testbed, draw_testbed
from fewshot.training.device import Machine, set_up

# Images embedded at most where no cache holds them, by their side in pixels: seconds on a CPU.
_BUDGETS = ((32, 1500), (100, 600), (10_000, 240))
_CPU_FLOPS = 4e11
_FEWEST = 40
_CLASSES = 20


def evaluated_images(run: Path, summary: Mapping[str, Any] | None) -> EvaluatedImages:
    """The images of an evaluation, or without one those that a training was chosen by.

    Embeddings come from the cache beside the run, where it holds those of the evaluation. Otherwise a
    bounded sample is embedded: the first episodes of the testbed, or some images of some classes. Nothing is
    packed or downloaded for it.

    Args:
        run: folder of the run.
        summary: the evaluation's result; None opens the validation classes (of a stream:
            its evaluated images).

    Raises:
        InputError: the model or the images are not here, or are others than were evaluated.
    """
    config = _evaluation_config(summary)
    opened = _Opened.of(run, config, None if summary is None else summary.get("step"))
    kind = "few_shot" if summary is None else str(summary.get("kind", "few_shot"))
    if opened.stream:
        return opened.sample(*opened.evaluated_in_stream())
    part = "val" if config is None else str(config.part)
    classes = opened.source.class_split(opened.image_set.class_names).part(part)
    if not classes and config is None:
        part, classes = "train", opened.model.classes or ()
    table = ClassTable.of(opened.image_set, classes)
    what = f"{len(classes)} {part} classes of {opened.source.name}"
    if config is None or summary is None:
        return opened.sample(table.all_images, what)
    if kind == "retrieval":
        return opened.cached(table.all_images, what) or opened.sample(table.all_images, what)
    testbed = draw_testbed(
        table,
        part,
        ways=config.ways,
        shots=int(summary["shots"]),
        queries=config.queries,
        episodes=config.episodes,
        seed=config.seed,
    )
    if testbed.sha256 != summary.get("testbed_sha256"):
        raise InputError(f"the images of data={opened.source.name} that are here now make other episodes")
    found = opened.cached(np.unique(testbed.images), what)
    made = found if found is not None else opened.embedded(opened.first_episodes(testbed), what)
    # A network that was adapted to each episode has no scores of its embeddings to show.
    adapted = "adaptation" in summary
    classifier = None if adapted else with_mean(instantiate(config.classifier), opened.model)
    return EvaluatedImages(what, made.image_set, made.embeddings, testbed, classifier)


@dataclass(frozen=True)
class _Opened:
    """A model and the data set of an evaluation, with the pixels left on the disk."""

    run: Path
    model: Model
    source: Source
    image_set: ImageSet
    machine: Machine
    config: DictConfig | None
    stream: bool

    @classmethod
    def of(cls, run: Path, evaluation: DictConfig | None, step: object) -> _Opened:
        of_run = load_config(run) if evaluation is None or evaluation.get("data") is None else None
        choices = of_run.get("choices") if of_run is not None else None
        recipe = str((choices or {}).get("recipe", "few_shot"))
        stream = evaluation is None and recipe == "continual"
        settings = evaluation if evaluation is not None else of_run
        assert settings is not None
        device = str(settings.device)
        if device.startswith("cuda") and not torch.cuda.is_available():
            device = "cpu"
        machine = set_up(device, str(settings.precision), settings.threads)
        model = load_model(model_file(run), machine.device)
        if step is not None and step != model.step:
            raise InputError(f"best.pt is of step {model.step}, and that of step {step} was evaluated")
        node = of_run.data if of_run is not None else settings.data
        if evaluation is not None:
            recipe = "retrieval" if "recall_at" in evaluation.evaluation else "few_shot"
        source = source_for(model.architecture, node, protocol_of(recipe))
        if catalogue.status(source).count is None:
            raise InputError(
                f"the images of data={source.name} are not packed here (python -m fewshot data list)"
            )
        image_set = catalogue.open_image_set(source, residency="memmap")
        return cls(run, model, source, image_set, machine, settings, stream)

    def evaluated_in_stream(self) -> tuple[NDArray[np.int64], str]:
        """The images that a stream is measured on, and what they are."""
        assert self.config is not None
        scenario = scenario_of(self.config, self.source, self.image_set)
        images = np.concatenate([task.evaluated for task in scenario.tasks])
        return images, f"{len(scenario.class_names)} classes of {self.source.name}, evaluated images"

    def cached(self, images: NDArray[np.int64], what: str) -> EvaluatedImages | None:
        """These images with their embeddings, if the cache holds them."""
        kept = self._cache.load(self._key(images), images, self.machine.device)
        return None if kept is None else EvaluatedImages(what, self.image_set, kept)

    def sample(self, images: NDArray[np.int64], what: str) -> EvaluatedImages:
        """Embed some of the images, evenly through their classes and the images of each."""
        labels = self.image_set.labels.numpy()[images]
        numbers = np.unique(labels)
        chosen = numbers[evenly(len(numbers), _CLASSES)]
        each = self._budget // max(1, len(chosen))
        of_class = [images[labels == number] for number in chosen]
        some = np.concatenate([of[evenly(len(of), each)] for of in of_class])
        told = what if len(some) == len(images) else f"a sample of {len(chosen)} of the {what}"
        return self.embedded(some, told)

    def embedded(self, images: NDArray[np.int64], what: str) -> EvaluatedImages:
        """These images, embedded now or taken from the cache."""

        def make() -> Embeddings:
            return embed(
                self.model.embedder,
                self.image_set,
                images,
                batch_size=64,
                device=self.machine.device,
                precision=self.machine.precision,
            )

        made = self._cache.load_or_make(self._key(images), images, self.machine.device, make)
        return EvaluatedImages(what, self.image_set, made)

    def first_episodes(self, testbed: Testbed) -> NDArray[np.int64]:
        """int64 [n], the images of as many of the first episodes as may be embedded, of one at least."""
        count = 1
        while count < len(testbed) and len(np.unique(testbed.images[: count + 1])) <= self._budget:
            count += 1
        return np.unique(testbed.images[:count])

    @cached_property
    def _budget(self) -> int:
        """Images that may be embedded; as many on a busy machine as on an idle one."""
        most = next(most for side, most in _BUDGETS if self.source.size <= side)
        if self.machine.device.type != "cpu":
            return most
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.model.embedder.embed(self.image_set.gather(np.zeros(1, dtype=np.int64)))
        return int(min(most, max(_FEWEST, _CPU_FLOPS / max(1, counter.get_total_flops()))))

    @property
    def _cache(self) -> EmbeddingCache:
        return EmbeddingCache(self.run / "embeddings")

    def _key(self, images: NDArray[np.int64]) -> str:
        settings = {"precision": self.machine.precision, "device": self.machine.device.type}
        return embedding_key(self.model.embedder, self.image_set.manifest, images, settings)


def _evaluation_config(summary: Mapping[str, Any] | None) -> DictConfig | None:
    """The config of an evaluation; None without one, and of a stream, whose run says all."""
    if summary is None or summary.get("kind") == "continual":
        return None
    if not isinstance(summary.get("config"), Mapping):
        raise InputError("its result.json does not say how it was evaluated")
    return OmegaConf.create(dict(summary["config"]))
