"""Episodes whose classes all come from one superclass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewshot.errors import InputError
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episode_kind import Task, everywhere
from fewshot.sampling.general_episodes import Composition, Draw
from fewshot.sampling.without_replacement import without_replacement


@dataclass(frozen=True)
class CoarseEpisodes:
    """Fine-grained tasks: what separates superclasses is of no use within one.

    Superclasses with enough classes are drawn equally often, then `ways` of their classes.

    The superclasses are the owner's: CIFAR-100's coarse labels, Omniglot's alphabets, scripts of glyphs.
    """

    def compose(self, table: ClassTable, task: Task, draw: Draw) -> Composition:
        """See `EpisodeKind`."""
        if table.superclasses is None:
            raise InputError(
                "episode=coarse: this data set has no superclasses; cifar_fs, fc100, cifar100, omniglot and "
                "glyphs have"
            )
        names, of = np.unique(np.array(table.superclasses), return_inverse=True)
        sizes = np.bincount(of)
        large = np.flatnonzero(sizes >= task.ways)
        if not len(large):
            raise InputError(
                f"ways={task.ways} with episode=coarse: the largest superclass, {names[sizes.argmax()]}, has "
                f"{sizes.max()} of these classes; ways={sizes.max()} is the most"
            )
        members = np.argsort(of, kind="stable")  # the classes, superclass by superclass
        chosen = large[np.floor(draw.uniform("superclass", 1)[:, 0] * len(large)).astype(np.int64)]
        places = without_replacement(draw.words("classes", task.ways), sizes[chosen])
        begins = np.cumsum(sizes) - sizes
        ways = members[begins[chosen][:, None] + places]
        return Composition(ways, everywhere(task.shots, ways), everywhere(task.queries, ways))

    def images_of_class(self, task: Task) -> int:
        """See `EpisodeKind`."""
        return task.shots + task.queries

    def describe(self, task: Task) -> str:
        """See `EpisodeKind`."""
        return f"{task.ways}-way within one superclass, {task.queries} queries a class"
