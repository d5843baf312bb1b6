"""The objective that a loss, a sampler and the parts beside them ask for."""

from __future__ import annotations

from torch import nn

from fewshot.distributed import Processes
from fewshot.errors import InputError
from fewshot.mixup.metrix import Metrix
from fewshot.models.embedder import Embedder
from fewshot.objectives.adaptation import Adaptation
from fewshot.objectives.episodic import Episodic
from fewshot.objectives.maml import MAML
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.mixed_episodic import MixedEpisodic
from fewshot.objectives.plain import Plain
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.feed import PlainSampler


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


def maml_objective(embedder: Embedder, adaptation: Adaptation, sampler: object) -> MAML:
    """The objective of MAML and ANIL.

    Raises:
        InputError: a sampler without episodes, or of other ways than the head has outputs.
    """
    if not isinstance(sampler, EpisodeSampler):
        raise InputError(
            f"recipe=maml adapts to supports, but sampler {type(sampler).__name__} draws no episodes: "
            "use sampler=episodes"
        )
    return MAML(embedder, adaptation, sampler.ways)


def require_shareable(
    objective: nn.Module, sampler: EpisodeSampler | PlainSampler, processes: Processes
) -> None:
    """Refuse what several processes cannot compute as one would.

    Raises:
        InputError: a step with fewer episodes or images than processes; images or maps of several processes
            to be mixed; lam drawn for each pair of one process's episodes, one after another.
    """
    count = processes.count
    if count == 1:
        return
    if isinstance(objective, MAML):
        processes.require_one("recipe=maml")
    if isinstance(sampler, EpisodeSampler):
        if sampler.episodes < count:
            raise InputError(
                f"sampler.episodes={sampler.episodes} cannot be shared by {count} processes: "
                f"set sampler.episodes={count} or more"
            )
    elif len(sampler.step(0)) < count:
        raise InputError(f"a batch of {len(sampler.step(0))} images cannot be shared by {count} processes")
    if isinstance(objective, Mixed) and objective.mixup.where != "embedding":
        raise InputError(
            f"mixup.where={objective.mixup.where} mixes images of different processes: use mixup=embedding, "
            "or one process"
        )
    if isinstance(objective, MixedEpisodic) and objective.mixup.draw == "pair":
        raise InputError(
            "mixup.draw=pair draws for one episode after another: use mixup.draw=batch, or one process"
        )
