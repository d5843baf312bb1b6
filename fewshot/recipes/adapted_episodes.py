"""The accuracy of a network that is adapted to each episode of a testbed by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.evaluation.accuracy import FewShotAccuracy
from fewshot.models.embedder import Embedder
from fewshot.objectives.adaptation import Adaptation, episode_statistics, require_classifier
from fewshot.sampling.testbed import Testbed
from fewshot.training.device import Machine


def adapted_curve(
    embedder: Embedder,
    image_set: ImageSet,
    testbed: Testbed,
    adaptation: Adaptation,
    shots: Sequence[int],
    machine: Machine,
    progress: Callable[[int], None] | None = None,
) -> dict[int, FewShotAccuracy]:
    """Accuracy after adapting to the first s supports of every class, for each s.

    Args:
        embedder: on the machine's device, in evaluation mode; left as it is.
        image_set: of the testbed.
        testbed: fixed episodes.
        adaptation: the inner loop.
        shots: the points of the curve, each from 1 to `testbed.shots`.
        machine: what it computes on.
        progress: called with 1 after each episode.

    Returns:
        one result for each of `shots`, by the number of shots.

    Raises:
        InputError: other ways than the head has outputs; scores that are not finite.
    """
    require_classifier(embedder, testbed.ways)
    made = np.empty((len(shots), len(testbed), testbed.ways, testbed.queries), dtype=np.int16)
    for number, episode in enumerate(testbed.images):
        images = image_set.gather(episode).to(machine.device)
        query = images[:, testbed.shots :].flatten(0, 1)
        for point, count in enumerate(shots):
            support = images[:, :count].flatten(0, 1)
            with episode_statistics(embedder), machine.autocast():
                labeller = adaptation.fitted(embedder, support, testbed.ways)
                with torch.no_grad():
                    scores = labeller(query)
            if not bool(torch.isfinite(scores).all()):
                raise InputError(
                    f"episode {number}: the adapted network's scores are not finite; lower maml.inner_lr"
                )
            made[point, number] = scores.argmax(1).view(testbed.ways, -1).cpu().numpy()
        if progress is not None:
            progress(1)
    return {count: FewShotAccuracy(count, made[point], testbed.classes) for point, count in enumerate(shots)}
