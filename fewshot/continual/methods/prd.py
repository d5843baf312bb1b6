"""PRD: prototype-sample relation distillation (Asadi et al. 2023, arXiv 2303.14771), without replay."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fewshot.continual.metric_method import MetricMethod
from fewshot.continual.prototypes import Prototypes
from fewshot.continual.snapshot import Snapshot
from fewshot.losses.arguments import at_least_zero
from fewshot.losses.prototype_attraction import prototype_attraction
from fewshot.losses.relation_distillation import RelationDistillation
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch


class PRD(MetricMethod):
    """loss_scale * L_SC + alpha * L_p + beta * L_d.

    L_SC, the loss on projected features of two views, moves encoder and projector. L_p draws the prototypes
    of the batch's classes to the features, and moves prototypes alone. L_d keeps the relations of the old
    prototypes to the batch as the snapshot of the task before has them; it moves the encoder and the old
    prototypes, is 0 in the first task, and sees no projector. Scores are cos(z, p_c).

    Args:
        embedder, classes, loss, views: see `MetricMethod`; the paper's loss is SupCon, its head a projector.
        alpha, beta: weights of L_p and L_d; 2 and 4 were tuned by the authors for the public code's scales.
        relation: L_d and its form.
        loss_scale: of L_SC; 1 leaves SupCon's mean over anchors, and twice the batch makes it the sum that
            the paper's equation has; temperature / 0.07 in the public code.
        snapshot_statistics: what normalises in the snapshot's BatchNorm: the "running" statistics, or the
            "batch" as in the public code.
        cil_candidates: class-incremental prediction chooses among the classes "seen", or among "all", those
            of tasks to come too, as in the public code.
        prototypes_lr_scale, prototypes_momentum, prototypes_weight_decay: see `Prototypes`.
        seed: of the prototypes' start.

    Raises:
        InputError: a loss that is not on batches, or a weight below 0.
    """

    def __init__(
        self,
        embedder: Embedder,
        classes: int,
        loss: nn.Module,
        relation: RelationDistillation,
        alpha: float = 2.0,
        beta: float = 4.0,
        loss_scale: float = 1.0,
        snapshot_statistics: Literal["running", "batch"] = "running",
        cil_candidates: Literal["seen", "all"] = "seen",
        views: Literal[1, 2] = 2,
        prototypes_lr_scale: float = 1.0,
        prototypes_momentum: float = 0.0,
        prototypes_weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(embedder, classes, loss, views)
        self.relation = relation
        self.alpha = at_least_zero("continual", alpha=alpha)
        self.beta = at_least_zero("continual", beta=beta)
        self.loss_scale = at_least_zero("continual", loss_scale=loss_scale)
        self.cil_candidates = cil_candidates
        self.prototypes = Prototypes(
            classes,
            embedder.embed_dim,
            prototypes_lr_scale,
            prototypes_momentum,
            prototypes_weight_decay,
            seed,
        )
        self.old_embedder = Snapshot(embedder, batch_statistics=snapshot_statistics == "batch")
        self.old_prototypes = Snapshot(self.prototypes)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and its terms without their weights; arguments as in `Method`."""
        features, projected = self.represent(batch.images)
        prototypes = self.prototypes.weight
        contrastive = self.contrast(projected, batch.labels)
        attraction = prototype_attraction(features, batch.labels, prototypes)
        loss = self.loss_scale * contrastive + self.alpha * attraction
        logs = {"contrastive": contrastive.detach(), "attraction": attraction.detach()}
        if self.task > 0 and self.beta > 0:
            with torch.no_grad():
                old_features = self.old_embedder.module.embed(batch.images)  # type: ignore[operator]
            old_prototypes = self.old_prototypes.module.weight
            assert isinstance(old_prototypes, Tensor)
            tasks = torch.where(self.old, self.task_of, -1)
            relation = self.relation(features, prototypes, old_features, old_prototypes, tasks)
            loss = loss + self.beta * relation
            logs["relation"] = relation.detach()
        return loss, logs

    def begin_task(self, classes: Tensor) -> None:
        """Take the snapshot of the task before, and mark the classes; see `Method`."""
        super().begin_task(classes)
        self.old_embedder.take(self.embedder)
        self.old_prototypes.take(self.prototypes)

    def candidates(self) -> Tensor:
        return self.seen if self.cil_candidates == "seen" else torch.ones_like(self.seen)

    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.prototypes(self.embedder.embed(images))
        return scores
