"""Methods that learn their features with a loss on embeddings, such as SupCon, and not with a classifier."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from fewshot.continual.method import Method
from fewshot.errors import InputError
from fewshot.models.embedder import Embedder


class MetricMethod(Method):
    """A loss on (projected features, labels); what is kept a class lives in the space of the features.

    Args:
        embedder, classes: see `Method`. A head for training only is the projector; with any other head,
            features and projected features are the same.
        loss: on batches, or one of episodes that has a form for them, `of_set`, as ICNN has.
        views: of each image, see `Method`; contrastive losses need two.

    Raises:
        InputError: a loss that needs episodes.
    """

    loss: nn.Module

    def __init__(self, embedder: Embedder, classes: int, loss: nn.Module, views: Literal[1, 2]) -> None:
        super().__init__(embedder, classes)
        if getattr(loss, "kind", None) != "batch" and not hasattr(loss, "of_set"):
            raise InputError(
                f"loss {type(loss).__name__} compares queries with supports, but a stream of tasks comes in "
                "plain batches: use a loss on batches, such as loss=supcon"
            )
        self.loss = loss
        self.views = views

    def contrast(self, projected: Tensor, labels: Tensor) -> Tensor:
        """The loss (0-d) of g(z) [n, dim] with labels int64 [n]."""
        compare = getattr(self.loss, "of_set", self.loss)
        loss: Tensor = compare(projected, labels)
        return loss

    def represent(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features z [n, embed_dim], which predict, and projected ones g(z) [n, dim], which the loss sees."""
        features = self.embedder.features(images)
        projected: Tensor = self.embedder.head(features)
        return (features if self.embedder.head.training_only else projected), projected
