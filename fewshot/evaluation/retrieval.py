"""How well images find others of their class: Recall@K, R-precision, MAP@R and MRR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.embeddings import Embeddings, require_finite
from fewshot.evaluation.intervals import Interval, mean_interval
from fewshot.evaluation.nearest import ABSENT, Scan, Similarity, index_of


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What every query found. R is the number of gallery images of a query's class, without itself.

    Attributes:
        recall_at: the K of Recall@K, ascending.
        images: int64 [q], the number in the image set of each query.
        classes: int64 [q], its class.
        ranks: int64 [q], the place of the nearest gallery image of its class; 1 is the first.
        r_precision: float64 [q], the share of its class among its R nearest gallery images.
        map_at_r: float64 [q], 1/R sum_{i <= R} P(i) rel(i) with the precision P(i) of its i nearest:
            MAP@R of Musgrave et al. 2020 (arXiv 2003.08505), section 3.2.
        lonely: queries left out, since the gallery has no other image of their class.
        gallery: images in the gallery.
    """

    recall_at: tuple[int, ...]
    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    ranks: NDArray[np.int64]
    r_precision: NDArray[np.float64]
    map_at_r: NDArray[np.float64]
    lonely: int
    gallery: int

    @property
    def hits(self) -> NDArray[np.bool_]:
        """[K, q], whether one of the K nearest gallery images has the query's class."""
        found: NDArray[np.bool_] = self.ranks <= np.array(self.recall_at)[:, None]
        return found

    @property
    def reciprocal_rank(self) -> NDArray[np.float64]:
        """[q], 1 / rank; its mean is MRR."""
        return 1 / self.ranks

    def intervals(self) -> dict[str, Interval]:
        """Mean and 95% interval over queries of `recall@K` for each K, r_precision, map_at_r and mrr."""
        recalls = zip(self.recall_at, self.hits, strict=True)
        return {
            **{f"recall@{k}": mean_interval(hits.astype(np.float64)) for k, hits in recalls},
            "r_precision": mean_interval(self.r_precision),
            "map_at_r": mean_interval(self.map_at_r),
            "mrr": mean_interval(self.reciprocal_rank),
        }

    def per_class(self) -> dict[int, float]:
        """Recall@1 over the queries of each class number that occurs."""
        numbers, place = np.unique(self.classes, return_inverse=True)
        right = np.bincount(place, self.ranks == 1)
        return dict(zip(numbers.tolist(), (right / np.bincount(place)).tolist(), strict=True))


def retrieve(
    embeddings: Embeddings,
    labels: NDArray[np.int64],
    *,
    recall_at: Sequence[int] = (1, 2, 4, 8),
    query: NDArray[np.bool_] | None = None,
    gallery: NDArray[np.bool_] | None = None,
    similarity: Similarity = "cosine",
    progress: Callable[[int], None] | None = None,
) -> Retrieval:
    """Let images query others. An image is never among its own neighbours; its exact copies are.

    Of equally similar gallery images the one that comes first in `embeddings` ranks first.

    Args:
        embeddings: [n, dim]; the work is done where they are.
        labels: int64 [n], the class of each.
        recall_at: the K of Recall@K; a K beyond the gallery asks for all of it.
        query, gallery: bool [n], who asks and who is found; None is everybody. With neither, every image
            queries all others.
        similarity: see `Similarity`.
        progress: called with the number of its queries after each block; lonely ones are left out.

    Raises:
        InputError: no K or one below 1, no query or no gallery, no query with another image of its class
            in the gallery, an embedding that is not finite.
        ValueError: labels or masks that are not [n].
    """
    recall_at = tuple(sorted(set(recall_at)))
    if not recall_at or recall_at[0] < 1:
        raise InputError(f"recall_at={list(recall_at)} must hold numbers of neighbours, each at least 1")
    if labels.shape != embeddings.images.shape:
        raise ValueError(f"labels {labels.shape} do not label {len(embeddings.images)} embeddings")
    require_finite(embeddings.features, embeddings.images)
    asked, found = _chosen("query", query, labels), _chosen("gallery", gallery, labels)
    numbers, place = np.unique(labels, return_inverse=True)
    others = np.bincount(place[found], minlength=len(numbers))[place]  # R of each image
    others[found] -= 1
    lonely = int((others[asked] == 0).sum())
    asked = asked[others[asked] > 0]
    if not len(asked):
        raise InputError(
            f"none of the {lonely} queries has another image of its class in the gallery; "
            "retrieval needs classes of two images or more"
        )
    tables = [torch.from_numpy(of).to(embeddings.features.device) for of in (place, others, asked, found)]
    ranks, r_precision, map_at_r = _measure(embeddings.features, tables, similarity, progress)
    return Retrieval(
        recall_at, embeddings.images[asked], labels[asked], ranks, r_precision, map_at_r, lonely, len(found)
    )


def _chosen(name: str, mask: NDArray[np.bool_] | None, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows that a mask names."""
    if mask is None:
        mask = np.ones(len(labels), dtype=np.bool_)
    if mask.shape != labels.shape or mask.dtype != np.bool_:
        raise ValueError(f"the {name} mask must be bool {labels.shape}, not {mask.dtype} {mask.shape}")
    if not mask.any():
        raise InputError(f"retrieval has no {name} images; the selection is empty")
    return np.flatnonzero(mask)


def _measure(
    features: Tensor,
    tables: Sequence[Tensor],
    similarity: Similarity,
    progress: Callable[[int], None] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Ranks, R-precision and MAP@R [q]; `tables` are classes [n], R [n], queries [q] and gallery [g]."""
    labels, others, asked, found = tables
    gallery = features[found] if len(found) < len(features) else features
    classes, class_of = labels[asked], labels[found]
    k = int(others[asked].max())
    scan = Scan(features[asked], gallery, asked, found, similarity, kept=k)
    ranks = torch.empty_like(asked)
    precisions = torch.empty(2, len(asked), dtype=torch.float64, device=features.device)
    place = torch.arange(1, k + 1, device=features.device)
    with torch.inference_mode():
        for rows in scan.blocks:
            indices = index_of(scan.highest_keys(rows, k))  # [b, k]
            # An index of -1 does no harm: it can only stand behind R right ones.
            right = class_of[indices] == classes[rows, None]
            ranks[rows] = torch.where(right, place, k + 1).amin(dim=1)
            right &= place <= others[asked[rows], None]
            precisions[0, rows] = right.sum(dim=1).double()
            precisions[1, rows] = (right * right.cumsum(dim=1) / place.double()).sum(dim=1)
            if progress is not None:
                progress(rows.stop - rows.start)
        precisions /= others[asked]
        missed = (ranks > k).nonzero().squeeze(1)
        if len(missed):
            # Ranks beyond the R nearest are counted, not sorted for, from all keys at once: 8 bytes each.
            missing = asked[missed]
            scan = Scan(features[missing], gallery, missing, found, similarity, kept=-(-len(found) // 16))
            far = torch.cat(
                [_first_rank(scan, rows, classes[missed[rows]], class_of) for rows in scan.blocks]
            )
            # Blocks of another height may round otherwise; the first search has settled the k nearest.
            ranks[missed] = far.clamp(min=k + 1)
    return ranks.cpu().numpy(), precisions[0].cpu().numpy(), precisions[1].cpu().numpy()


def _first_rank(scan: Scan, rows: slice, classes: Tensor, class_of: Tensor) -> Tensor:
    """int64 [b], 1 + the number of gallery rows before the first of the query's class."""
    all_keys = list(scan.keys(rows))
    best = torch.full_like(classes, ABSENT)
    for columns, keys in all_keys:
        others = keys.masked_fill(classes[:, None] != class_of[None, columns], ABSENT)
        best = torch.maximum(best, others.amax(dim=1))
    ahead = [(keys > best[:, None]).sum(dim=1) for _, keys in all_keys]
    return 1 + torch.stack(ahead).sum(dim=0)
