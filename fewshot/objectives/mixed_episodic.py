"""Metrix in episodes: the prototypical loss, and the same loss of mixed queries and mixed supports (ours)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.losses.prototypical import PrototypicalCrossEntropy
from fewshot.mixup.generic_losses import MixableEpisodicLoss, require_generic
from fewshot.mixup.metrix import Metrix
from fewshot.mixup.mixed_loss import candidates, loss_of_mixed_anchors, loss_of_mixed_others
from fewshot.mixup.mixing import Mixing, require_stage
from fewshot.models.embedder import Embedder
from fewshot.objectives.prototype_accuracy import prototype_accuracy
from fewshot.sampling.feed import Batch


class MixedEpisodic(nn.Module):
    """An embedder trained with a prototypical loss of episodes, clean and mixed.

    Mixed queries: v = lam q + (1 - lam) q' of two classes is an anchor that meets every prototype, with
    y = lam for the class of q and 1 - lam for that of q'. Mixed supports: the means of the mixtures of two
    classes' supports are prototypes, and every query meets all of them, with y = lam for those in which its
    class leads, 1 - lam for those in which it is the partner, and 0 for all others; the unmixed prototypes
    are in the clean term alone. With cosines and where="embedding", what is mixed are the directions of
    embeddings or prototypes. An episode is mixed within itself; all its pairs, or the hardest.

    Args:
        embedder: images to embeddings.
        loss: prototypical, of squared Euclidean distances or of cosines.
        mixup: what is mixed, where and how; its `pairs` are fixed by the above.

    Raises:
        InputError: the loss is not of the generic form; pairs other than "alternate"; smoothed labels;
            no such stage.
    """

    embedder: Embedder
    loss: nn.Module

    def __init__(self, embedder: Embedder, loss: nn.Module, mixup: Metrix) -> None:
        super().__init__()
        require_stage(embedder, mixup)
        if mixup.pairs != "alternate":
            raise InputError(
                f"mixup.pairs={mixup.pairs}: episodes mix queries, or supports, of two classes; "
                "leave it at alternate and choose mixup.episode"
            )
        generic = require_generic(loss)
        assert isinstance(generic, MixableEpisodicLoss)
        if isinstance(generic, PrototypicalCrossEntropy) and generic.label_smoothing:
            raise InputError(
                f"loss.label_smoothing={generic.label_smoothing}: mixed labels are not smoothed; use 0"
            )
        self.embedder = embedder
        self.loss = loss
        self.mixup = mixup

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log: its terms, and the nearest-prototype accuracy of the queries.

        Args:
            batch: of episodes.
            generator: its seed is the key of this step's draws.
        """
        if batch.episodes is None:
            raise ValueError("an episodic objective needs a batch of episodes")
        episodes, ways, shots, queries = batch.episodes
        mixing = Mixing(self.embedder, self.mixup, self.mixup.plan(generator), batch.images)
        embeddings = mixing.embeddings.view(episodes, ways, shots + queries, -1)
        support, query = embeddings[:, :, :shots], embeddings[:, :, shots:]
        terms = {"clean": self.loss(support, query)}
        numbers = torch.arange(len(batch.images), device=batch.images.device)
        numbers = numbers.view(episodes, ways, shots + queries)
        if self.mixup.episode in ("queries", "both"):
            prototypes = support.mean(2)
            terms["mixed_queries"] = torch.stack(
                [self._queries(mixing, p, n[:, shots:]) for p, n in zip(prototypes, numbers, strict=True)]
            ).mean()
        if self.mixup.episode in ("supports", "both"):
            terms["mixed_supports"] = torch.stack(
                [self._supports(mixing, q, n[:, :shots]) for q, n in zip(query, numbers, strict=True)]
            ).mean()
        mixed = torch.stack([term for name, term in terms.items() if name != "clean"]).mean()
        logs = {name: term.detach() for name, term in terms.items()}
        logs["accuracy"] = prototype_accuracy(support.detach(), query.detach())
        loss = terms["clean"] + self.mixup.weight * mixed
        return (loss, logs) if batch.share is None else batch.share.weighted(loss, logs)

    def _queries(self, mixing: Mixing, prototypes: Tensor, queries: Tensor) -> Tensor:
        """Mixed queries of one episode against its prototypes.

        Args:
            prototypes: [ways, dim].
            queries: int64 [ways, queries], numbers of the query images in the batch.
        """
        loss = _prototypical(self.loss)
        ways = len(queries)
        members = queries.flatten()
        labels = torch.arange(ways, device=queries.device).repeat_interleave(queries.shape[1])
        candidate = candidates("anchor_negative", labels)
        partners = mixing.partners(mixing.embeddings[members], candidate, loss.similarity)
        mixed = mixing.examples(partners, loss.similarity, anchors=prototypes, members=members)
        return loss_of_mixed_anchors(loss.form, mixed, labels, ways, lambda similarity: similarity)

    def _supports(self, mixing: Mixing, query: Tensor, supports: Tensor) -> Tensor:
        """The queries of one episode against its prototypes of mixed supports.

        Args:
            query: [ways, queries, dim].
            supports: int64 [ways, shots], numbers of the support images in the batch.
        """
        loss = _prototypical(self.loss)
        ways, shots = supports.shape
        members = supports.flatten()
        classes = torch.arange(ways, device=supports.device)
        prototypes = mixing.embeddings[members].view(ways, shots, -1).mean(1)
        partners = mixing.partners(prototypes, candidates("positive_negative", classes), loss.similarity)
        mixed = mixing.examples(
            partners, loss.similarity, anchors=query.flatten(0, 1), members=members, group=shots
        )
        return loss_of_mixed_others(loss.form, mixed, classes.repeat_interleave(query.shape[1]))


def _prototypical(loss: nn.Module) -> MixableEpisodicLoss:
    assert isinstance(loss, MixableEpisodicLoss)
    return loss
