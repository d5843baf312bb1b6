"""Embedding images once, for any number of episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.distributed import ALONE, Processes
from fewshot.errors import InputError


class Images(Protocol):
    """Where images come from by number; an ImageSet is one."""

    def gather(self, indices: NDArray[np.int64]) -> Tensor:
        """The images [n, channels, height, width] at int64 [n]."""
        ...


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of some images of an image set.

    Attributes:
        features: float32 [n, dim], on the device that computed them.
        images: int64 [n], the number in the image set of each row.
    """

    features: Tensor
    images: NDArray[np.int64]

    def rows_of(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [...], the rows of `features` that hold these image numbers [...].

        Raises:
            ValueError: an image was not embedded.
        """
        rows = np.full(int(max(self.images.max(initial=-1), images.max(initial=-1))) + 1, -1, dtype=np.int64)
        rows[self.images] = np.arange(len(self.images))
        found = rows[images]
        if found.min(initial=0) < 0:
            missing = int(images[found < 0].flat[0])
            raise ValueError(f"image {missing} is not among the {len(self.images)} embedded")
        return found


def embed(
    embedder: nn.Module,
    images: Images,
    indices: NDArray[np.int64],
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    precision: Literal["float32", "bf16"] = "float32",
    processes: Processes = ALONE,
    progress: Callable[[int], None] | None = None,
) -> Embeddings:
    """Embed the images at `indices`, batch by batch, without gradients.

    Args:
        embedder: has `embed(images) -> [n, dim]`; on `device` and in evaluation mode.
        images: source of the pixels.
        indices: int64 [n], numbers of images.
        batch_size: images in one forward. Where the accelerator's memory is too small it is halved
            and the batch tried again.
        device: where the embedder is and the features stay.
        precision: of the forward; the features are float32 in either case.
        processes: take turns with the batches, and all have all features in the end: those of one process,
            bit for bit on equal hardware and threads.
        progress: called with the number of its images after each batch of this process.

    Raises:
        InputError: BatchNorm uses the statistics of the batch (hidden transduction); an embedding is
            not finite; not even one image fits into the accelerator's memory.
        ValueError: no images, the embedder is in training mode, or its output is not [n, dim].
    """
    refuse_hidden_transduction(embedder)
    if embedder.training:
        raise ValueError("the embedder is in training mode; call eval() before embedding")
    if not len(indices):
        raise ValueError("there are no images to embed")
    device = torch.device(device)
    blocks = [slice(i, min(i + batch_size, len(indices))) for i in range(0, len(indices), batch_size)]
    # A process without a batch embeds one that is another's, to know the dim.
    own = processes.turns(blocks) or blocks[:1]
    left = np.concatenate([indices[block] for block in own])
    features: Tensor | None = None
    done = 0
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        while done < len(left):
            chosen = left[done : done + batch_size]
            try:
                batch = images.gather(chosen).to(device, non_blocking=True)
                made = embedder.embed(batch)  # type: ignore[operator]
            except torch.OutOfMemoryError as error:
                if batch_size == 1:
                    raise InputError(
                        f"one image does not fit into the memory of {device}; use device=cpu"
                    ) from error
                batch_size = max(1, min(batch_size, len(chosen)) // 2)
                continue
            if made.ndim != 2 or len(made) != len(chosen):
                raise ValueError(
                    f"the embedder made {list(made.shape)} of {len(chosen)} images, expected [n, dim]"
                )
            if features is None:
                features = torch.empty(len(left), made.shape[1], dtype=torch.float32, device=device)
            features[done : done + len(chosen)] = made
            done += len(chosen)
            if progress is not None:
                progress(len(chosen))
    assert features is not None
    # Inference tensors refuse to be saved for a gradient later; a copy outside the mode does not.
    collected = processes.collected(features.clone(), blocks)
    result = Embeddings(collected, np.asarray(indices, dtype=np.int64))
    require_finite(result.features, result.images)
    return result


def refuse_hidden_transduction(embedder: nn.Module) -> None:
    """Refuse a network whose embedding of an image depends on the other images of its batch.

    Raises:
        InputError: a BatchNorm layer is in training mode or keeps no running statistics.
    """
    for name, module in embedder.named_modules():
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            why = "is in training mode" if module.training else "keeps no running statistics"
            raise InputError(
                f"hidden transduction: BatchNorm layer {name or type(module).__name__!r} {why}, so that each "
                "embedding would depend on the other images of its batch; evaluate in eval() mode"
            )


def require_finite(features: Tensor, images: NDArray[np.int64]) -> None:
    """Refuse embeddings [n, dim] with a NaN or an infinity, naming the first such image of `images` [n].

    Raises:
        InputError: there is one.
    """
    # The sum is finite unless a term is not (or it overflows), and takes no second array to find out.
    if bool(torch.isfinite(features.sum())):
        return
    bad = (~torch.isfinite(features).all(dim=1)).nonzero().flatten()
    if len(bad):
        first = int(images[int(bad[0])])
        raise InputError(
            f"{len(bad)} of {len(features)} embeddings are not finite (first: image {first}); "
            "the weights are damaged or have diverged, or the precision is too low (try precision=float32)"
        )
