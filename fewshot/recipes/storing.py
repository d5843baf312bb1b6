"""What a prediction labels by: a support, or a store of one, made, read and added to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from fewshot.config import instantiate, plain
from fewshot.data.labelling import find_support
from fewshot.errors import InputError
from fewshot.evaluation.classifiers.cl2n import CL2N
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.labeller import Labeller
from fewshot.evaluation.unlikeness import Prototypes, Space
from fewshot.recipes.encoder import Encoder
from fewshot.recipes.prediction_config import check_numbers, check_support
from fewshot.recipes.store import Store, model_sha256
from fewshot.recipes.support import Support, read_support
from fewshot.training.device import Machine, set_up

_PROBLEMS = 5


def opened(config: DictConfig, machine: Machine) -> tuple[Encoder, Support, Labeller]:
    """The model, the support and what labels by it, of `conf/predict.yaml`.

    Raises:
        InputError: anything the user can mend.
    """
    if config.get("store") is None:
        found = find_support(config.support)
        encoder = Encoder.open(config, machine)
        support = read_support(found, encoder, config)
        return encoder, support, _fitted(config, encoder, support)
    folder = Path(os.path.expanduser(config.store))
    store = Store.read(folder)
    encoder = Encoder.open(_with_model(config, store), machine)
    store.require(encoder, f"store={config.store}")
    support = store.support(folder, machine.device)
    settings = store.told["settings"]
    given = config.copy()
    for key in ("temperature", "threshold"):
        if given[key] is None:
            given[key] = settings.get(key)
    if store.features is not None:
        return encoder, support, _fitted(given, encoder, support)
    if plain(config.classifier) != settings.get("node"):
        raise InputError(
            f"store={config.store} keeps prototypes alone, for classifier={settings['classifier']} with its "
            "options; choose the same, or make the store with embeddings=true"
        )
    if given.threshold is None and config.false_alarms != settings["false_alarms"]:
        raise InputError(
            f"false_alarms={config.false_alarms}: store={config.store} keeps prototypes alone, with the "
            f"threshold of false_alarms={settings['false_alarms']}; give threshold=NUMBER"
        )
    return encoder, support, _of_prototypes(given, encoder, store)


def make(config: DictConfig, to: Path, embeddings: bool) -> Path:
    """Embed a support and write it as a new store.

    Args:
        config: of `conf/predict.yaml`, without a query.
        to: the new folder.
        embeddings: keep each image's, so that the store serves every classifier; else prototypes alone.

    Raises:
        InputError: anything the user can mend.
    """
    check_support(config)
    check_numbers(config)
    for key in ("query", "store", "resume"):
        if config[key]:
            raise InputError(f"{key}: store make takes a support alone; leave it out")
    if to.exists():
        raise InputError(f"to={to} is there already; name a new folder, or use store add")
    machine = set_up(config.device, config.precision, config.threads)
    encoder, support, labeller = opened(config, machine)
    classifier = _classifier(config, encoder)
    if not embeddings and not _averages(classifier):
        raise InputError(
            f"classifier={config.choices.classifier} needs each support image; leave embeddings=false out"
        )
    where = None if encoder.path is None else str(encoder.path.absolute())
    told = {
        "model": {"name": encoder.name, "sha256": model_sha256(encoder), "run": where},
        "reading": dict(vars(encoder.reading)),
        "settings": {
            "classifier": str(config.choices.classifier),
            "node": plain(config.classifier),
            "temperature": config.temperature,
            "threshold": config.threshold,
            "false_alarms": float(config.false_alarms),
        },
        "fitted": _told(labeller),
    }
    store = Store(
        told,
        support.classes,
        support.counts,
        _sums(classifier, support),
        support.features.cpu() if embeddings else None,
        support.labels.cpu() if embeddings else support.labels.cpu()[:0],
        tuple(support.name(row) for row in range(len(support.paths))) if embeddings else (),
        _digests(support) if embeddings else (),
    )
    store.write(to)
    _print(support.problems)
    print(_summary(to, store))
    return to


def add(config: DictConfig, folder: Path) -> Path:
    """Embed a support of new classes and add it to a store.

    Temperature and threshold are made anew where the store keeps embeddings; of prototypes alone they stay.

    Args:
        config: of `conf/predict.yaml`, without a query.
        folder: of the store.

    Raises:
        InputError: anything the user can mend; also a class that the store has.
    """
    check_support(config)
    store = Store.read(folder)
    found = find_support(config.support)
    for name in dict.fromkeys(found.classes):
        if name in store.classes:
            raise InputError(
                f"support={config.support}: class {name!r} is in the store already; rename its folder"
            )
    machine = set_up(config.device, config.precision, config.threads)
    encoder = Encoder.open(_with_model(config, store), machine)
    store.require(encoder, f"store={folder}")
    new = read_support(found, encoder, config)
    settings = store.told["settings"]
    with open_dict(config):
        config.classifier = OmegaConf.create(settings["node"])
        config.choices.classifier = settings["classifier"]
        for key in ("temperature", "threshold", "false_alarms"):
            config[key] = settings.get(key)
    known = {digest: name for digest, name in zip(store.digests, store.names, strict=True)}
    problems = [*new.problems]
    for digest, row in new.row_of.items():
        if digest in known:
            problems.append(f"{new.name(row)}: the same image as {known[digest]}, which is another class")
    sums = _sums(_classifier(config, encoder), new)
    grown = replace(
        store,
        classes=(*store.classes, *new.classes),
        counts=(*store.counts, *new.counts),
        sums=torch.cat((store.sums, sums)),
    )
    if store.features is not None:
        grown = replace(
            grown,
            features=torch.cat((store.features, new.features.cpu())),
            labels=torch.cat((store.labels, new.labels.cpu() + len(store.classes))),
            names=(*store.names, *(new.name(row) for row in range(len(new.paths)))),
            digests=(*store.digests, *_digests(new)),
        )
        labeller = _fitted(config, encoder, grown.support(folder, machine.device))
        grown = replace(grown, told={**store.told, "fitted": _told(labeller)})
    grown.write(folder)
    _print(problems)
    print(_summary(folder, grown))
    return folder


def show(folder: Path) -> str:
    """What a store holds, in some lines."""
    return _summary(folder, Store.read(folder))


def _print(problems: Sequence[str]) -> None:
    for problem in problems[:_PROBLEMS]:
        print(f"problem    {problem}")
    if len(problems) > _PROBLEMS:
        print(f"problem    and {len(problems) - _PROBLEMS} more of the kind")


def _summary(folder: Path, store: Store) -> str:
    settings, fitted = store.told["settings"], store.told["fitted"]
    shown = ", ".join(
        f"{name} {count}" for name, count in list(zip(store.classes, store.counts, strict=True))[:8]
    )
    more = f", and {len(store.classes) - 8} classes more" if len(store.classes) > 8 else ""
    kept = "prototypes alone" if store.features is None else "prototypes and embeddings"
    threshold = fitted.get("threshold")
    limit = "no threshold" if threshold is None else f"spread above {threshold:.4g}"
    return "\n".join(
        (
            f"store      {folder}: {len(store.classes)} classes, {sum(store.counts)} images; {kept}",
            f"classes    {shown}{more}",
            f"model      {store.told['model']['name']}",
            f"classifier {settings['classifier']}, temperature {fitted['temperature']:.3g}",
            f"unlike     {limit} ({fitted['rule']})",
            f"use        python predict.py store={folder} query=DIR",
        )
    )


def _with_model(config: DictConfig, store: Store) -> DictConfig:
    """The config with the run that the store was made with, where no model is named and it is still there."""
    run = store.told["model"].get("run")
    named = any(config.get(key) is not None for key in ("backbone", "run", "model"))
    if not named and isinstance(run, str) and Path(run).exists():
        config = config.copy()
        config.run = run
    return config


def _classifier(config: DictConfig, encoder: Encoder) -> Classifier:
    classifier: Any = instantiate(config.classifier)
    if isinstance(classifier, CL2N):
        classifier = CL2N(classifier.classifier, mean=encoder.train_mean)
    if classifier.transductive:
        raise InputError(
            f"classifier={config.choices.classifier} is transductive: labels would depend on which images "
            "are asked together; use classifier=prototype, cosine, logistic, ridge or knn"
        )
    made: Classifier = classifier
    return made


def _fitted(config: DictConfig, encoder: Encoder, support: Support) -> Labeller:
    return Labeller.fit(
        _classifier(config, encoder),
        support.features,
        support.labels,
        len(support.classes),
        given_temperature=config.temperature,
        false_alarms=config.false_alarms,
        threshold=config.threshold,
    )


def _of_prototypes(config: DictConfig, encoder: Encoder, store: Store) -> Labeller:
    classifier, fitted = _classifier(config, encoder), store.told["fitted"]
    device = encoder.machine.device
    counts = torch.tensor(store.counts, dtype=store.sums.dtype, device=device)
    threshold, rule = fitted.get("threshold"), fitted["rule"]
    if config.threshold is not None:
        threshold, rule = config.threshold, "given"
    prototypes = Prototypes(
        Space.of(classifier),
        store.sums.to(device) / counts[:, None],
        counts,
        float("inf") if threshold is None else float(threshold),
        rule,
    )
    return Labeller.of_prototypes(classifier, prototypes, config.temperature or fitted["temperature"])


def _averages(classifier: Classifier) -> bool:
    inner = classifier.classifier if isinstance(classifier, CL2N) else classifier
    return isinstance(inner, NearestPrototype)


def _sums(classifier: Classifier, support: Support) -> Tensor:
    """float32 [ways, dim], of the vectors of each class, on the CPU."""
    vectors = Space.of(classifier).vectors(support.features)
    sums = vectors.new_zeros(len(support.classes), vectors.shape[1])
    return sums.index_add_(0, support.labels, vectors).cpu()


def _digests(support: Support) -> tuple[str, ...]:
    """The sum of the pixels of each row; of an image that is there twice the first row alone has it."""
    digests = [""] * len(support.paths)
    for digest, row in support.row_of.items():
        digests[row] = digest
    return tuple(digests)


def _told(labeller: Labeller) -> dict[str, Any]:
    threshold = labeller.prototypes.threshold
    return {
        "temperature": float(labeller.temperature),
        "threshold": threshold if threshold < float("inf") else None,
        "rule": labeller.prototypes.rule,
        "left_out_accuracy": labeller.accuracy,
    }
