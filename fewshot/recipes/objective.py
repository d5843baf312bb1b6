"""The objective that a loss, a sampler and the parts beside them ask for."""

from __future__ import annotations

from torch import nn

from fewshot.errors import InputError
from fewshot.mixup.metrix import Metrix
from fewshot.models.embedder import Embedder
from fewshot.objectives.episodic import Episodic
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.mixed_episodic import MixedEpisodic
from fewshot.objectives.plain import Plain
from fewshot.sampling.episodes import EpisodeSampler


def objective_for(
    embedder: Embedder, loss: nn.Module, sampler: object, mixup: Metrix | None = None
) -> Episodic | Plain | Mixed | MixedEpisodic:
    """The objective that a loss asks for.

    Args:
        embedder: images to embeddings.
        loss: episodic or on plain batches, with its memory around it if it has one.
        sampler: what draws the batches.
        mixup: None for the clean loss alone.

    Raises:
        InputError: an episodic loss without episodes, or with episodes of one class; a loss that cannot
            be mixed.
    """
    if getattr(loss, "kind", None) != "episodic":
        return Plain(embedder, loss) if mixup is None else Mixed(embedder, loss, mixup)
    if not isinstance(sampler, EpisodeSampler):
        raise InputError(
            f"loss {type(loss).__name__} compares queries with supports, but sampler "
            f"{type(sampler).__name__} draws no episodes: use sampler=episodes"
        )
    if sampler.ways < 2:
        raise InputError(f"sampler.ways={sampler.ways} leaves nothing to tell apart: use 2 or more")
    return Episodic(embedder, loss) if mixup is None else MixedEpisodic(embedder, loss, mixup)
