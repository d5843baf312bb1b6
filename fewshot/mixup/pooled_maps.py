"""Pooling of mixed maps: what is affine commutes with mixing, the maximum is taken of each mixed map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fewshot.mixup.partners import Partners
from fewshot.models.pooling import average, flatten


def mixed_pool(maps: Tensor, pool: str, partners: Partners, lam: Tensor | float, rows: slice) -> Tensor:
    """pool(lam F_l + (1 - lam) F_q) for some leads l and their partners q, as float32 at least.

    Args:
        maps: [n, channels, h, w], the last maps of the batch.
        pool: a name of `fewshot.models.pooling.POOLINGS`.
        partners: of each lead.
        lam: a number, or [n, partners].
        rows: the leads.

    Returns:
        [len(rows), partners, dim].
    """
    lam = lam[rows][..., None] if isinstance(lam, Tensor) else lam
    if pool == "flatten":
        return _mixed_vectors(flatten(maps), partners, lam, rows)
    if pool == "average":
        return _mixed_vectors(average(maps), partners, lam, rows)
    positions = maps.flatten(2)
    others = positions[None] if partners.index is None else positions[partners.index[rows]]
    maxima: Tensor = MixedMaximum.apply(positions[rows], others, lam).to(_kept(maps))
    return maxima if pool == "max" else maxima + _mixed_vectors(average(maps), partners, lam, rows)


def _mixed_vectors(vectors: Tensor, partners: Partners, lam: Tensor | float, rows: slice) -> Tensor:
    vectors = vectors.to(_kept(vectors))
    others = vectors if partners.index is None else vectors[partners.index[rows]]
    return lam * vectors[rows][:, None] + (1 - lam) * others


def _kept(maps: Tensor) -> torch.dtype:
    return torch.promote_types(maps.dtype, torch.float32)


class MixedMaximum(torch.autograd.Function):
    """max over positions of lam a + (1 - lam) b, without keeping the mixed maps for the backward pass."""

    @staticmethod
    def forward(ctx: Any, leads: Tensor, others: Tensor, lam: Tensor | float) -> Tensor:
        """Args: leads [b, c, p], others [b or 1, q, c, p], lam a number or [b, q, 1]. Returns [b, q, c]."""
        factor = lam[..., None] if isinstance(lam, Tensor) else lam
        mixed = factor * leads[:, None] + (1 - factor) * others
        values, positions = mixed.to(leads.dtype).max(-1)
        small = torch.uint8 if leads.shape[-1] <= 256 else torch.int32
        ctx.save_for_backward(positions.to(small))
        ctx.shapes, ctx.lam = (leads.shape, others.shape), lam
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (positions,) = ctx.saved_tensors
        of_leads, of_others = ctx.shapes
        index = positions.long()  # [b, q, c]
        kept = _kept(gradient)
        to_leads = (ctx.lam * gradient.to(kept)).permute(0, 2, 1)  # [b, c, q]
        leads = gradient.new_zeros(of_leads, dtype=kept)
        leads.scatter_add_(2, index.permute(0, 2, 1), to_leads)
        to_others = (1 - ctx.lam) * gradient.to(kept)
        others = gradient.new_zeros(of_others, dtype=kept)
        if of_others[0] == 1 and of_leads[0] != 1:
            # One set of partners for all leads: [q, c, p] receives from every lead.
            others[0].scatter_add_(2, index.permute(1, 2, 0), to_others.permute(1, 2, 0))
        else:
            others.scatter_add_(3, index[..., None], to_others[..., None])
        return leads.to(gradient.dtype), others.to(gradient.dtype), None
