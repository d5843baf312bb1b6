"""Few-shot accuracy on the fixed episodes of a testbed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot.distributed import ALONE, Processes
from fewshot.errors import InputError
from fewshot.evaluation.blocks_that_fit import blocks_that_fit
from fewshot.evaluation.classifiers.classifier import Classifier, on_table
from fewshot.evaluation.embeddings import Embeddings, require_finite
from fewshot.evaluation.intervals import Interval, mean_interval
from fewshot.sampling.testbed import Testbed


@dataclass(frozen=True, eq=False)
class FewShotAccuracy:
    """What one classifier did on every query of a testbed.

    Attributes:
        shots: supports of each class that it saw.
        predictions: int16 [episodes, ways, queries], the way predicted for each query of each way.
        classes: int64 [episodes, ways], the class number behind each way.
    """

    shots: int
    predictions: NDArray[np.int16]
    classes: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """[episodes, ways, queries]."""
        right: NDArray[np.bool_] = self.predictions == np.arange(self.predictions.shape[1])[:, None]
        return right

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """[episodes], the share of an episode's queries that were right."""
        shares: NDArray[np.float64] = self.correct.mean(axis=(1, 2), dtype=np.float64)
        return shares

    @property
    def interval(self) -> Interval:
        """Mean accuracy and its 95% interval over episodes."""
        return mean_interval(self.accuracies)

    def per_class(self) -> dict[int, float]:
        """Accuracy over all queries of each class number that occurs."""
        numbers, place = np.unique(self.classes, return_inverse=True)
        right = np.bincount(place.reshape(-1), self.correct.mean(axis=2, dtype=np.float64).reshape(-1))
        return dict(zip(numbers.tolist(), (right / np.bincount(place.reshape(-1))).tolist(), strict=True))

    def confusion(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which class was taken for which.

        Returns:
            class numbers int64 [classes] in ascending order, and counts int64 [classes, classes]:
            a row for the true class, a column for the predicted one. A count depends on how often
            both met in an episode.
        """
        numbers, place = np.unique(self.classes, return_inverse=True)
        place = place.reshape(self.classes.shape)
        episodes = np.arange(len(place))[:, None, None]
        cells = place[:, :, None] * len(numbers) + place[episodes, self.predictions]
        counts = np.bincount(cells.reshape(-1), minlength=len(numbers) ** 2)
        return numbers, counts.reshape(len(numbers), len(numbers)).astype(np.int64)


def evaluate(
    embeddings: Embeddings,
    testbed: Testbed,
    classifier: Classifier,
    *,
    block: int | None = None,
    processes: Processes = ALONE,
    progress: Callable[[int], None] | None = None,
) -> FewShotAccuracy:
    """Accuracy of a classifier that sees all supports of a testbed. Arguments as in `shot_curve`."""
    curve = shot_curve(
        embeddings, testbed, classifier, [testbed.shots], block=block, processes=processes, progress=progress
    )
    return curve[testbed.shots]


def shot_curve(
    embeddings: Embeddings,
    testbed: Testbed,
    classifier: Classifier,
    shots: Sequence[int],
    *,
    block: int | None = None,
    processes: Processes = ALONE,
    progress: Callable[[int], None] | None = None,
) -> dict[int, FewShotAccuracy]:
    """Accuracy with the first s supports of every class, for each s, in one pass over the episodes.

    All points face the same queries. Of equal scores the first way wins.

    Args:
        embeddings: of all images of the testbed; the work is done where they are.
        testbed: fixed episodes.
        classifier: fitted to each episode's support by itself.
        shots: the points of the curve, each from 1 to `testbed.shots`.
        block: episodes at once; None fits them to the processor's cache or the device's memory. They are
            halved where memory ends. Their number decides the speed, and the result only where scores tie
            within rounding.
        processes: take turns with the blocks, and all have the whole result: that of one process.
        progress: called with the number of its episodes after each block of this process.

    Returns:
        one result for each of `shots`, by the number of shots.

    Raises:
        InputError: a number of shots that the testbed does not have; an embedding is not finite; not even
            one episode fits into memory.
        ValueError: an image of the testbed was not embedded.
    """
    for count in shots:
        if not 1 <= count <= testbed.shots:
            raise InputError(f"shots={count} is not within 1..{testbed.shots}, the supports of the testbed")
    features = embeddings.features
    require_finite(features, embeddings.images)
    rows = torch.from_numpy(embeddings.rows_of(testbed.images)).to(features.device)
    support, query = rows[:, :, : testbed.shots], rows[:, :, testbed.shots :].flatten(1, 2)
    episodes = len(testbed)
    block = min(block or _block(features, rows, classifier), episodes)
    made = torch.empty(len(shots), *query.shape, dtype=torch.int16, device=features.device)
    parts = [slice(start, min(start + block, episodes)) for start in range(0, episodes, block)]
    own = processes.turns(parts)
    with torch.inference_mode():
        table = on_table(classifier, features)

        def predict(part: slice) -> None:
            for point, scores in enumerate(table.curve(support[part], query[part], shots)):
                made[point, part] = scores.argmax(dim=-1)

        for part, _ in blocks_that_fit(own, predict, "an episode"):
            if progress is not None:
                progress(part.stop - part.start)
    if processes.count > 1:
        by_episode = made.transpose(0, 1)
        mine = torch.cat([by_episode[part] for part in own]) if own else by_episode[:0]
        made = processes.collected(mine, parts).transpose(0, 1).contiguous()
    predictions = made.view(len(shots), *testbed.classes.shape, -1).cpu().numpy()
    return {
        count: FewShotAccuracy(count, predictions[point], testbed.classes)
        for point, count in enumerate(shots)
    }


def _block(features: Tensor, rows: Tensor, classifier: Classifier) -> int:
    """How many episodes to take at once."""
    bytes_of_episode = rows[0].numel() * features.shape[1] * features.element_size()
    budget = classifier.block_bytes if features.device.type == "cpu" else 256 << 20
    return max(1, budget // bytes_of_episode)
