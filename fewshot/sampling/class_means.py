"""The mean embedding of each class of a table, as a network sees its images now."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fewshot.data.image_set import ImageSet
from fewshot.models.embedder import Embedder
from fewshot.sampling.class_table import ClassTable


def class_means(
    embedder: Embedder,
    image_set: ImageSet,
    table: ClassTable,
    images: int,
    device: torch.device,
    batch: int = 256,
) -> Tensor:
    """Means of unit embeddings, over images without augmentation and in evaluation mode.

    The embedding is the one a loss sees, with the head. The embedder's mode is restored.

    Args:
        images: of each class, at most, spread evenly over its row of the table.
        device: where the embedder is.
        batch: images in one forward.

    Returns:
        float32 [classes, dim], on `device`; 0 for a class without images.
    """
    chosen, rows = _spread(table, images)
    training = embedder.training
    embedder.eval()
    # Summed on the CPU: an accelerator adds in any order, and near ties would differ from run to run.
    sums = torch.zeros(len(table.classes), embedder.dim, dtype=torch.float64)
    with torch.no_grad():
        for start in range(0, len(chosen), batch):
            pixels = image_set.gather(chosen[start : start + batch]).to(device, non_blocking=True)
            unit = F.normalize(embedder(pixels).float(), dim=1)
            sums.index_add_(0, torch.from_numpy(rows[start : start + batch]), unit.double().cpu())
    embedder.train(training)
    counts = torch.from_numpy(np.bincount(rows, minlength=len(table.classes))).clamp(min=1)
    return (sums / counts[:, None]).float().to(device)


def _spread(table: ClassTable, images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(image numbers, rows of the table), int64 [n] each: at most `images` distinct ones a class."""
    kept = np.minimum(table.counts, images)
    place = np.arange(images)
    rows, nth = np.nonzero(place < kept[:, None])
    return table.images[rows, nth * table.counts[rows] // kept[rows]], rows
