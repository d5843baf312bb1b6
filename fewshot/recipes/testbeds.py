"""The testbed that the config of an evaluation asks for, balanced or general."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from omegaconf import DictConfig

from fewshot.config import instantiate
from fewshot.data.image_set import ImageSet
from fewshot.data.source import Source
from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episode_kind import EpisodeKind, Task
from fewshot.sampling.general_episodes import GeneralEpisodes
from fewshot.sampling.general_testbed import GeneralTestbed, draw_general_testbed, general_form
from fewshot.sampling.testbed import Testbed, draw_testbed


def shots_of(config: DictConfig) -> list[int]:
    """`shots`, ascending: one number or several.

    Raises:
        InputError: none, one below 1, or several where episodes are not balanced.
    """
    shots = sorted({config.shots} if isinstance(config.shots, int) else set(config.shots))
    if not shots or shots[0] < 1:
        raise InputError(f"shots={config.shots} must be a number from 1 on, or a list of such")
    if len(shots) > 1 and kind_name(config) is not None:
        raise InputError(
            f"shots={config.shots}: episode={kind_name(config)} takes one number; a shot curve needs "
            "episode=balanced"
        )
    return shots


def kind_name(config: DictConfig) -> str | None:
    """The choice of `episode=`; None of balanced ones."""
    if "_target_" not in (config.get("episode") or {}):
        return None
    return str((config.get("choices") or {}).get("episode") or config.episode._target_)


def testbed_for(
    config: DictConfig,
    source: Source,
    image_set: ImageSet,
    part: str,
    *,
    classes: Sequence[str] | None = None,
    episodes: int | None = None,
) -> Testbed | GeneralTestbed:
    """Draw the testbed of an evaluation.

    Args:
        config: of the evaluation: `ways`, `shots`, `queries`, `episodes`, `episode`, `seed`.
        source, image_set: the data set.
        part: of its class split.
        classes: of that part, where they are known already.
        episodes: how many; None: as the config says.

    Raises:
        InputError: the classes or their images do not suffice.
    """
    if classes is None:
        classes = source.class_split(image_set.class_names).part(part)
    table = ClassTable.of(image_set, classes)
    shots = max(shots_of(config))
    count = config.episodes if episodes is None else episodes
    if kind_name(config) is None:
        return balanced_testbed(config, table, part, count)
    kind: EpisodeKind = instantiate(config.episode)
    table = replace(table, superclasses=source.superclasses(classes))
    task = Task(config.ways, shots, config.queries)
    return draw_general_testbed(table, part, kind, task, episodes=count, seed=config.seed)


def balanced_testbed(config: DictConfig, table: ClassTable, part: str, episodes: int) -> Testbed:
    """Draw balanced episodes: of equal configs they are the same for every method."""
    return draw_testbed(
        table,
        part,
        ways=config.ways,
        shots=max(shots_of(config)),
        queries=config.queries,
        episodes=episodes,
        seed=config.seed,
    )


def in_general(testbed: Testbed | GeneralTestbed, shots: int) -> GeneralEpisodes:
    """The episodes in the general form; of balanced ones with the first `shots` supports."""
    return general_form(testbed, shots) if isinstance(testbed, Testbed) else testbed.episodes


def told(testbed: Testbed | GeneralTestbed) -> str:
    """The episodes in words."""
    if isinstance(testbed, GeneralTestbed):
        return testbed.told
    return f"{testbed.ways}-way, {testbed.queries} queries a class"
