"""What an evaluation is of: a trained model, and the images it is tested on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from fewshot.config import instantiate, plain
from fewshot.data.catalogue import open_image_set
from fewshot.data.image_set import ImageSet
from fewshot.data.source import PARTS, Source
from fewshot.errors import InputError
from fewshot.evaluation.embedding_cache import EmbeddingCache, embedding_key
from fewshot.evaluation.embeddings import Embeddings, embed
from fewshot.progress import Progress
from fewshot.recipes.exported import CARD
from fewshot.recipes.leakage import leak_label
from fewshot.recipes.model import Architecture, Model, load_model, model_file
from fewshot.recipes.run_record import load_config, newest_run
from fewshot.training.device import Machine, keep_memory, set_up


@dataclass(frozen=True)
class Subject:
    """A model and the data set that it is evaluated on.

    Attributes:
        path: of the model's checkpoint.
        model: loaded, on the machine's device.
        source, image_set: the data set, at the size that the model takes.
        classes: names of the evaluated classes.
        leak: what the model has seen of them.
        machine: what to embed on.
        config: of the evaluation.
    """

    path: Path
    model: Model
    source: Source
    image_set: ImageSet
    classes: tuple[str, ...]
    leak: str
    machine: Machine
    config: DictConfig

    @classmethod
    def open(cls, config: DictConfig, recipe: str) -> Subject:
        """Find and load what `conf/eval.yaml` names.

        Args:
            config: of the evaluation.
            recipe: few_shot, maml or retrieval: whose newest run is meant where `run` is null, and whose
                class split is meant where `data.split` is. Without `data` it is the run's
                own data set, and the split that the run was trained on.

        Raises:
            InputError: anything the user can mend.
        """
        if config.part not in PARTS:
            raise InputError(f"part={config.part} must be one of {', '.join(PARTS)}")
        if config.batch < 1:
            raise InputError(f"batch={config.batch} must be at least 1")
        if config.allocator:
            keep_memory()
        machine = set_up(config.device, config.precision, config.threads)
        run = machine.processes.told_by_first(
            lambda: Path(config.run or newest_run(Path(config.output_dir), recipe))
        )
        path = model_file(run)
        model = load_model(path, machine.device)
        node = config.data if config.data is not None else data_of(path, model)
        source = source_for(model.architecture, node, protocol_of(recipe))
        image_set = open_image_set(source, machine.device)
        classes = source.class_split(image_set.class_names).part(config.part)
        leak = leak_label(model.trained_on, source, config.part)
        return cls(path, model, source, image_set, classes, leak, machine, config)

    def embed(self, images: NDArray[np.int64], what: str) -> Embeddings:
        """Embed images int64 [n], or take their embeddings from the cache beside the run.

        Args:
            images: numbers in the image set.
            what: they are, for the progress bar.
        """
        config, machine, embedder = self.config, self.machine, self.model.embedder

        def make() -> Embeddings:
            with Progress(f"embedding {self.source.name} {what}", len(images), "images") as progress:
                return embed(
                    embedder,
                    self.image_set,
                    images,
                    batch_size=config.batch,
                    device=machine.device,
                    precision=machine.precision,
                    processes=machine.processes,
                    progress=progress.advance,
                )

        if not config.cache:
            return make()
        settings = {"precision": machine.precision, "device": machine.device.type}
        key = embedding_key(embedder, self.image_set.manifest, images, settings)
        cache = EmbeddingCache(self.path.parent / "embeddings")
        return cache.load_or_make(key, images, machine.device, make, machine.processes)

    def details(self) -> dict[str, Any]:
        """What every result says of its subject."""
        return {
            "model": str(self.path),
            "step": self.model.step,
            "trained_on": self.model.trained_on,
            "selection": self.model.selection,
            "leak": self.leak,
            "data": self.source.name,
            "images": {
                "pack": self.source.key,
                "form": self.image_set.manifest.get("form"),
                "size": self.source.size,
            },
            "config": plain(self.config),
            "machine": self.machine.describe(),
        }

    def heading(self) -> str:
        """The first lines of a summary: model, what chose its weights, data, and what it has seen of them."""
        model, source = self.model, self.source
        trained = f"trained on {model.trained_on['data']} ({model.trained_on['split']})"
        classes = f"{len(self.classes)} {self.config.part} classes"
        return (
            f"model      {self.path}, step {model.step}, {trained}\n"
            f"weights    {model.selection}\n"
            f"data       {source.name} ({source.split}), {classes}, {source.size} px\n"
            f"seen       {self.leak}"
        )


def data_of(path: Path, model: Model) -> DictConfig:
    """The node of the data set that a run was trained on.

    Args:
        path: of the model.
        model: what lies there.

    Raises:
        InputError: the model lies in no run.
    """
    if path.name == CARD:
        raise InputError(
            f"{path.parent} is an exported model, which leaves open where images are: add "
            f"data={model.trained_on['data']}, what it was trained on, or another data set"
        )
    node: DictConfig = load_config(path.parent).data
    return node


def protocol_of(recipe: str) -> str:
    """Whose published class split a recipe trains and tests on; MAML and ANIL have that of few shots."""
    return "few_shot" if recipe == "maml" else recipe


def source_for(architecture: Architecture, node: DictConfig, protocol: str) -> Source:
    """The data set of a config node, at the size and with the channels that the model takes."""
    options = plain(node)
    if options["size"] != architecture.size:
        if options.get("resize") is not None:
            # The same share of the border is cropped away as at the set's own size.
            options["resize"] = round(options["resize"] * architecture.size / options["size"])
        options["size"] = architecture.size
    if options["channels"] != architecture.channels:
        options.update(
            channels=architecture.channels, mean=list(architecture.mean), std=list(architecture.std)
        )
    source: Source = instantiate(options, offered={"protocol": protocol})
    return source
