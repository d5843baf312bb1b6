"""Metrix on plain batches: a loss of the generic form, and the same loss of mixed examples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot.losses.cross_batch_memory import CrossBatchMemory
from fewshot.losses.pair_loss import PairLoss, Relation, relation_by_label
from fewshot.losses.proxy_anchor import ProxyAnchor
from fewshot.losses.proxy_loss import ProxyLoss
from fewshot.mixup.generic_losses import MixableLoss, require_generic
from fewshot.mixup.metrix import Metrix, PairKind, Plan
from fewshot.mixup.mixed_loss import candidates, loss_of_anchors, loss_of_mixed_anchors, partners_of
from fewshot.mixup.mixing import Mixing, require_stage
from fewshot.mixup.suitable import suited
from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch


class Mixed(nn.Module):
    """An embedder trained with loss(batch) + weight * loss(mixed examples of the batch).

    Several processes mix embeddings alone, which are gathered: each computes the loss of the whole batch.

    Args:
        embedder: images to embeddings.
        loss: of the generic form, on (embeddings [n, D], labels [n]); or a memory around one, whose clean
            term it is.
        mixup: what is mixed, where and how.

    Raises:
        InputError: the loss is not of the generic form, or cannot be mixed as asked for; the backbone has no
            such stage.
    """

    embedder: Embedder
    loss: nn.Module

    def __init__(self, embedder: Embedder, loss: nn.Module, mixup: Metrix) -> None:
        super().__init__()
        require_stage(embedder, mixup)
        self.embedder = embedder
        self.loss = loss
        generic = require_generic(loss.loss if isinstance(loss, CrossBatchMemory) else loss)
        assert isinstance(generic, MixableLoss)
        self.mixup = suited(generic, mixup)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and what to log: the clean and the mixed term.

        Args:
            batch: images and labels.
            generator: its seed is the key of this step's draws.
        """
        plan = self.mixup.plan(generator)
        mixing = Mixing(self.embedder, self.mixup, plan, batch.images)
        if batch.share is not None:
            mixing.embeddings = batch.share.gather(mixing.embeddings)
        clean: Tensor = self.loss(mixing.embeddings, batch.labels)
        mixed = self._mixed(mixing, plan, batch)
        logs = {"clean": clean.detach(), "mixed": mixed.detach()}
        return clean + self.mixup.weight * mixed, logs

    def _mixed(self, mixing: Mixing, plan: Plan, batch: Batch) -> Tensor:
        loss = self.loss.loss if isinstance(self.loss, CrossBatchMemory) else self.loss
        labels = batch.labels
        if isinstance(loss, ProxyLoss):
            candidate = candidates(plan.pairs or "anchor_negative", labels)
            partners = mixing.partners(mixing.embeddings, candidate, loss.similarity)
            mixed = mixing.examples(partners, loss.similarity, anchors=loss.weight)
            return loss_of_mixed_anchors(loss.form, mixed, labels, loss.classes, loss.class_scores)
        assert isinstance(loss, (PairLoss, ProxyAnchor))
        itself = torch.arange(len(labels), device=labels.device)
        if isinstance(loss, ProxyAnchor):
            pairs: PairKind = plan.pairs or "positive_negative"
            relation = proxies_of_the_batch(labels)
            anchors = loss.weight[labels]
        else:
            pairs = plan.pairs or plan.alternate
            relation = loss.relation(labels, labels, itself)
            anchors = None
        if pairs == "anchor_negative":
            leads_of = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
            most = (1, 1)
        elif pairs == "negative_negative":
            leads_of, most = relation.negative, (len(labels), len(labels))
        else:
            largest = batch.largest_class or int(labels.bincount().max())
            leads_of, most = relation.positive, (1 if isinstance(loss, ProxyAnchor) else largest, largest)
        # A loss that uses some images of a class alone, as N-pair does, has no use for others as partners.
        shared = leads_of.mT.float() @ partners_of(relation, pairs).float() > 0
        candidate = candidates(pairs, labels) & shared
        partners = mixing.partners(mixing.embeddings, candidate, loss.similarity)
        mixed = mixing.examples(partners, loss.similarity, anchors=anchors)
        present = relation.positive.any(1).sum() if isinstance(loss, ProxyAnchor) else None
        return loss_of_anchors(loss.form, mixed, relation, leads_of, pairs, most, present)


def proxies_of_the_batch(labels: Tensor) -> Relation:
    """Positives and negatives, bool [n, n], of the proxies of a batch's classes.

    A proxy is the anchor in the row of the first image of its class; the other rows have no example.

    Args:
        labels: int64 [n].
    """
    relation = relation_by_label(labels, labels, None)
    first = ~torch.tril(relation.positive, -1).any(1, keepdim=True)
    return Relation(relation.positive & first, relation.negative & first)
