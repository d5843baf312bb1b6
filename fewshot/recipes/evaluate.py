"""Evaluate a trained model by few-shot episodes of any data set."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from fewshot.config import instantiate, plain
from fewshot.data.catalogue import open_image_set
from fewshot.data.source import PARTS, Source
from fewshot.errors import InputError
from fewshot.evaluation.accuracy import shot_curve
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.embedding_cache import EmbeddingCache, embedding_key
from fewshot.evaluation.embeddings import Embeddings, embed
from fewshot.evaluation.result_files import save_result
from fewshot.progress import Progress
from fewshot.recipes.leakage import leak_label
from fewshot.recipes.model import Architecture, Model, load_model, model_file
from fewshot.recipes.run_record import load_config, newest_run
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.testbed import draw_testbed
from fewshot.training.device import keep_memory, set_up


def evaluate(config: DictConfig) -> Path:
    """Evaluate as `conf/eval.yaml` says; print and save the result.

    Returns:
        the path of result.json; episodes.npz lies beside it.

    Raises:
        InputError: anything the user can mend.
    """
    began = time.monotonic()
    if config.part not in PARTS:
        raise InputError(f"part={config.part} must be one of {', '.join(PARTS)}")
    shots = sorted({config.shots} if isinstance(config.shots, int) else set(config.shots))
    if not shots or shots[0] < 1:
        raise InputError(f"shots={config.shots} must be a number from 1 on, or a list of such")
    if config.batch < 1:
        raise InputError(f"batch={config.batch} must be at least 1")
    if config.allocator:
        keep_memory()
    machine = set_up(config.device, config.precision, config.threads)
    run = Path(config.run) if config.run is not None else newest_run(Path(config.output_dir), "few_shot")
    path = model_file(run)
    model = load_model(path, machine.device)

    source = source_for(
        model.architecture, config.data if config.data is not None else load_config(path.parent).data
    )
    image_set = open_image_set(source, machine.device)
    classes = source.class_split(image_set.class_names).part(config.part)
    testbed = draw_testbed(
        ClassTable.of(image_set, classes),
        config.part,
        ways=config.ways,
        shots=max(shots),
        queries=config.queries,
        episodes=config.episodes,
        seed=config.seed,
    )
    classifier = with_mean(instantiate(config.classifier), model)

    images = np.unique(testbed.images)
    settings = {"precision": machine.precision, "device": machine.device.type}

    def make() -> Embeddings:
        with Progress(f"embedding {source.name} {config.part}", len(images), "images") as progress:
            return embed(
                model.embedder,
                image_set,
                images,
                batch_size=config.batch,
                device=machine.device,
                precision=machine.precision,
                progress=progress.advance,
            )

    if config.cache:
        key = embedding_key(model.embedder, image_set.manifest, images, settings)
        embeddings = EmbeddingCache(path.parent / "embeddings").load_or_make(
            key, images, machine.device, make
        )
    else:
        embeddings = make()
    embedded = time.monotonic()
    with Progress(f"classifying with {config.choices.classifier}", len(testbed), "episodes") as progress:
        curve = shot_curve(embeddings, testbed, classifier, shots, progress=progress.advance)
    ended = time.monotonic()

    leak = leak_label(model.trained_on, source, config.part)
    details: dict[str, Any] = {
        "model": str(path),
        "step": model.step,
        "trained_on": model.trained_on,
        "leak": leak,
        "data": source.name,
        "images": {"pack": source.key, "form": image_set.manifest.get("form"), "size": source.size},
        "classifier": str(config.choices.classifier),
        "config": plain(config),
        "seconds": {"embedding": embedded - began, "episodes": ended - embedded},
        "machine": machine.describe(),
    }
    folder = path.parent / "eval" / result_name(config, source, shots)
    saved = save_result(folder, curve, testbed, image_set.class_names, details)

    trained = f"trained on {model.trained_on['data']} ({model.trained_on['split']})"
    print(f"model      {path}, step {model.step}, {trained}")
    print(
        f"data       {source.name} ({source.split}), {len(classes)} {config.part} classes, {source.size} px"
    )
    print(f"seen       {leak}")
    print(
        f"testbed    {config.ways}-way, {config.queries} queries a class, {len(testbed):,} episodes, "
        f"seed {config.seed}, sha256 {testbed.sha256[:12]}"
    )
    print(f"classifier {config.choices.classifier}")
    for count in shots:
        interval = curve[count].interval
        accuracy = f"{100 * interval.mean:.2f} +- {100 * interval.half_width:.2f} %"
        print(f"{f'{count}-shot':<10} {accuracy}  (95% over episodes)")
    per_class = sorted((share, number) for number, share in curve[shots[-1]].per_class().items())
    hardest, easiest = (
        f"{100 * share:.1f} % {image_set.class_names[n]}" for share, n in (per_class[0], per_class[-1])
    )
    print(f"classes    {hardest} (hardest) to {easiest}, {shots[-1]}-shot; all in the file")
    print(f"time       {embedded - began:.1f} s to load and embed, {ended - embedded:.1f} s for the episodes")
    print(f"saved      {saved}")
    return saved


def source_for(architecture: Architecture, node: DictConfig) -> Source:
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
    source: Source = instantiate(options)
    return source


def with_mean(classifier: Classifier, model: Model) -> Classifier:
    """CL2N with the model's own training mean; any other classifier as it is."""
    return replace(classifier, mean=model.train_mean) if isinstance(classifier, CL2N) else classifier


def result_name(config: DictConfig, source: Source, shots: list[int]) -> str:
    """Folder of a result: the same settings give the same name, and the same result."""
    parts = [
        f"{source.name}-{source.split}-{config.part}",
        f"{config.ways}w{'-'.join(map(str, shots))}s{config.queries}q",
        str(config.choices.classifier),
        f"{config.episodes}e",
        f"seed{config.seed}",
    ]
    return re.sub(r"[^\w.=-]+", "-", "_".join(parts))
