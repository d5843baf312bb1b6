"""iCaRL: herded exemplars, distillation, nearest exemplar mean (Rebuffi et al. 2017, arXiv 1611.07725)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot.continual.buffer import Buffer, as_bytes
from fewshot.continual.class_means import ClassMeans
from fewshot.continual.herding import herd, place_in_class
from fewshot.continual.method import TaskImages, evaluation_mode
from fewshot.continual.methods.finetune import Finetune
from fewshot.continual.snapshot import Snapshot
from fewshot.errors import InputError
from fewshot.losses.arguments import at_least_one
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Augment, Batch


class ICaRL(Finetune):
    """Binary cross-entropy of every class seen, on the batch together with exemplars of earlier classes.

    The target of an old class is what the snapshot of the task before gives (distillation), that of a new
    class whether the image is of it; summed over classes, the mean over images. The paper trains on the
    union of new images and exemplars; here a step joins `replayed` exemplars to its batch. Scores are
    cosines to the means of the exemplars' features, under the present network. A class has exemplars,
    buffer_size // classes seen of them, and a score above -inf from the end of its first task on. A class
    that comes again, as with domains, is told by its labels then and not distilled, and its exemplars are
    herded anew from the task at hand.

    Args:
        embedder, classes, seed: see `Finetune`.
        augment: of exemplars, which are kept as they are.
        buffer_size: exemplars in all, at least one a class of the stream.
        replayed: exemplars drawn a step; None for as many as the batch has.

    Raises:
        InputError: fewer exemplars than classes.
    """

    def __init__(
        self,
        embedder: Embedder,
        classes: int,
        augment: Augment,
        buffer_size: int = 2000,
        replayed: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(embedder, classes, "seen", seed)
        if buffer_size < classes:
            raise InputError(
                f"continual.buffer_size={buffer_size} leaves some of the {classes} classes without an "
                f"exemplar: use {classes} or more"
            )
        self.augment = augment
        self.replayed = None if replayed is None else at_least_one("continual", replayed=replayed)
        self.buffer = Buffer(buffer_size, embedder, seed=seed)
        self.means = ClassMeans(classes, embedder.embed_dim)
        self.means_are_due = True
        self.old_embedder = Snapshot(embedder)
        self.old_classifier = Snapshot(self.classifier)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log (nothing but the loss itself); arguments as in `Method`."""
        self.means_are_due = True
        images, labels = batch.images, batch.labels
        if self.buffer.filled:
            rows = self.buffer.draw(self.replayed or len(labels), generator)
            images = torch.cat((images, self.augment(self.buffer.images[rows], generator)))
            labels = torch.cat((labels, self.buffer.labels[rows]))
        logits = self.logits(images)
        targets = F.one_hot(labels, self.classes).to(logits.dtype)
        if self.task > 0:
            with torch.no_grad():
                features = self.old_embedder.module.embed(images)  # type: ignore[operator]
                old_logits: Tensor = self.old_classifier.module.logits(features)  # type: ignore[operator]
            targets = torch.where(self.old & ~self.current, old_logits.sigmoid(), targets)
        each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return each.masked_fill(~self.seen, 0).sum(1).mean(), {}

    def begin_task(self, classes: Tensor) -> None:
        """Take the snapshot of the task before, and mark the classes; see `Method`."""
        super().begin_task(classes)
        self.old_embedder.take(self.embedder)
        self.old_classifier.take(self.classifier)

    def end_task(self, images: TaskImages) -> None:
        """Shorten the lists of the old exemplars, and herd those of the new classes; see `Method`."""
        quota = self.buffer.size // int(self.seen.sum())
        features, labels = [], []
        with torch.no_grad(), evaluation_mode(self):
            for block, block_labels in images():
                features.append(self.embedder.embed(block))
                labels.append(block_labels)
        known = torch.cat(labels)
        rows = herd(torch.cat(features), known, quota)
        kept = self._first_exemplars(quota, known)
        pixels = torch.cat((self.buffer.images[kept], _images_at(images, rows)))
        self.buffer.replace(pixels, torch.cat((self.buffer.labels[kept], known[rows])))
        self.means_are_due = True

    def _first_exemplars(self, quota: int, renewed: Tensor) -> Tensor:
        """Rows of the first `quota` exemplars of each class, without those that `renewed` names."""
        labels = self.buffer.labels[: self.buffer.filled]
        return ((place_in_class(labels) < quota) & ~torch.isin(labels, renewed)).nonzero().flatten()

    def _scores(self, images: Tensor) -> Tensor:
        if self.means_are_due:
            self.means.clear()
            rows = torch.arange(self.buffer.filled, device=self.buffer.labels.device)
            for some in torch.split(rows, 256) if len(rows) else ():
                self.means.add(self.embedder.embed(self.buffer.images[some]), self.buffer.labels[some])
            self.means_are_due = False
        scores: Tensor = self.means(self.embedder.embed(images))
        return scores

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        super().set_extra_state(dict(state))
        self.means_are_due = True


def _images_at(images: TaskImages, rows: Tensor) -> Tensor:
    """uint8: the images with numbers int64 [m], in this order, of a second pass over a task's images."""
    found: Tensor | None = None
    first = 0
    for block, _ in images():
        place = ((rows >= first) & (rows < first + len(block))).nonzero().flatten()
        if found is None:
            found = torch.empty((len(rows), *block.shape[1:]), dtype=torch.uint8, device=block.device)
        found[place] = as_bytes(block[rows[place] - first])
        first += len(block)
    assert found is not None
    return found
