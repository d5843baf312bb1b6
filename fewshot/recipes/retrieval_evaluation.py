"""Retrieval among images of unseen classes, and how their embeddings fill the sphere."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.evaluation.clustering import cluster_agreement
from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.nearest import Similarity
from fewshot.evaluation.representation import alignment, uniformity, utilization
from fewshot.evaluation.result_files import SUMMARY
from fewshot.evaluation.retrieval import Retrieval, retrieve
from fewshot.evaluation.retrieval_result import save_retrieval
from fewshot.progress import Progress
from fewshot.randomness import generator
from fewshot.recipes.leakage import identity
from fewshot.recipes.retrieval import refuse_senseless
from fewshot.recipes.subject import Subject
from fewshot.sampling.class_table import ClassTable


@dataclass(frozen=True)
class RetrievalEvaluation:
    """Recall@K and its relatives on all images of the evaluated classes, without mixing of any kind.

    Attributes:
        recall_at: the K of Recall@K.
        similarity: by which images are near each other.
        clustering: whether k-means is held against the classes.
        representation: whether utilization, alignment and uniformity are measured.
    """

    recall_at: int | tuple[int, ...] = (1, 2, 4, 8)
    similarity: Similarity = "cosine"
    clustering: bool = True
    representation: bool = True

    def __post_init__(self) -> None:
        if not self.counts or self.counts[0] < 1:
            raise InputError(
                f"evaluation.recall_at={self.recall_at} must be a number from 1 on, or a list of such"
            )

    @property
    def counts(self) -> list[int]:
        """The K, ascending."""
        return sorted({self.recall_at} if isinstance(self.recall_at, int) else set(self.recall_at))

    def __call__(self, config: DictConfig) -> Path:
        """Evaluate, print the summary and save the result.

        Returns:
            the path of result.json; queries.npz lies beside it.

        Raises:
            InputError: anything the user can mend.
        """
        began = time.monotonic()
        subject = Subject.open(config, "retrieval")
        image_set, source = subject.image_set, subject.source
        images = ClassTable.of(image_set, subject.classes).all_images
        labels = image_set.labels.numpy()[images]
        refuse_senseless(labels, config.part)
        query, gallery = source.query_gallery([image_set.names[image] for image in images]) or (None, None)
        embeddings = subject.embed(images, config.part)
        trained = trained_images(subject) if self.representation else None
        training = None if trained is None else subject.embed(trained, "train")
        embedded = time.monotonic()
        folder = subject.path.parent / "eval" / self._result_name(config, source)
        if not subject.machine.processes.first:
            return folder / SUMMARY
        asking = len(images) if query is None else int(query.sum())
        with Progress("retrieving", asking, "queries") as progress:
            found = retrieve(
                embeddings,
                labels,
                recall_at=self.counts,
                query=query,
                gallery=gallery,
                similarity=self.similarity,
                progress=progress.advance,
            )
        further = self._clusters(embeddings, labels, config.seed)
        if self.representation:
            further |= representation(embeddings, labels, query, training)
        ended = time.monotonic()

        details = {
            **subject.details(),
            "similarity": self.similarity,
            **further,
            "seconds": {"embedding": embedded - began, "measures": ended - embedded},
        }
        saved = save_retrieval(folder, found, image_set.class_names, details)
        print(subject.heading())
        print_measures(found, further, self.similarity)
        print(f"time       {embedded - began:.1f} s to load and embed, {ended - embedded:.1f} s to measure")
        print(f"saved      {saved}")
        return saved

    def _clusters(self, embeddings: Embeddings, labels: NDArray[np.int64], seed: int) -> dict[str, Any]:
        if not self.clustering:
            return {}
        draw = generator(seed, "k-means", 0)
        agreement = cluster_agreement(embeddings, labels, draw, similarity=self.similarity)
        return {"nmi": agreement.nmi, "ami": agreement.ami, "clusters": agreement.clusters}

    def _result_name(self, config: DictConfig, source: Source) -> str:
        """Folder of a result: the same settings give the same name, and the same result."""
        parts = [
            f"{source.name}-{source.split}-{config.part}",
            f"retrieval{'-'.join(map(str, self.counts))}",
            self.similarity,
            *([f"clusters-seed{config.seed}"] if self.clustering else []),
            *(["representation"] if self.representation else []),
        ]
        return re.sub(r"[^\w.=-]+", "-", "_".join(parts))


def trained_images(subject: Subject) -> NDArray[np.int64] | None:
    """int64 [n], the images that the model was trained on.

    None where they are not at hand: other images than the evaluated data set has, or some of the
    evaluated classes themselves; utilization says nothing then.
    """
    classes, known = subject.model.classes, set(subject.image_set.class_names)
    same = subject.model.trained_on["images"] == identity(subject.source)["images"]
    if classes is None or not same or not known.issuperset(classes) or set(classes) & set(subject.classes):
        return None
    return ClassTable.of(subject.image_set, classes).all_images


def representation(
    embeddings: Embeddings,
    labels: NDArray[np.int64],
    query: NDArray[np.bool_] | None,
    training: Embeddings | None,
) -> dict[str, Any]:
    """Utilization of the queries against the training images (null without these), alignment, uniformity."""
    queries = embeddings
    if query is not None:
        queries = Embeddings(embeddings.features[query], embeddings.images[query])
    return {
        "utilization": None if training is None else utilization(queries, training),
        "alignment": alignment(embeddings, labels),
        "uniformity": uniformity(embeddings),
    }


def print_measures(found: Retrieval, further: dict[str, Any], similarity: str) -> None:
    """The lines of the summary that hold the figures."""
    asked = f"{len(found.images):,} queries among {found.gallery:,} images by {similarity}, itself excluded"
    print(f"queries    {asked}{f'; {found.lonely} alone in their class left out' if found.lonely else ''}")
    titles = {"r_precision": "R-prec.", "map_at_r": "MAP@R", "mrr": "MRR"}
    for name, interval in found.intervals().items():
        title = titles.get(name, name.replace("recall", "R"))
        print(f"{title:<10} {interval} %  (95% over queries)")
    if "nmi" in further:
        clusters = f"(k-means, {further['clusters']} clusters)"
        print(f"NMI, AMI   {100 * further['nmi']:.2f} %, {100 * further['ami']:.2f} %  {clusters}")
    if "alignment" in further:
        used = further["utilization"]
        print(
            "utilization not measured: the training images are not known, others, or among the evaluated"
            if used is None
            else f"utilization {used:.4f}  (of the training images by the queries; lower is better)"
        )
        print(f"alignment  {further['alignment']:.4f}  (within classes; lower is better)")
        print(f"uniformity {further['uniformity']:.4f}  (of all; lower is better)")
