"""Times few-shot evaluation on cached embeddings, and the drawing of episodes, against what others do.

    python benchmarks/evaluation.py [--episodes 10000] [--rounds 5]

20 classes of 600 embeddings with 640 dimensions, 5-way, 5 shots, 15 queries a class, one thread. Both sides
take turns, and times are processor time, which other jobs of the machine hardly change; the median of the
rounds counts. Ours draws the testbed anew each time, and so does the peer.

EasyFSL is measured by its own `evaluate` on its FeaturesDataset, TaskSampler, DataLoader and
PrototypicalNetworks. Its sampler hands torch's Sampler an argument that current versions refuse; a class in
between takes it, and nothing else is changed. Accuracies are compared on the same episodes, one by one.
scikit-learn fits its LogisticRegression once an episode. learn2learn draws with a TaskDataset, described
alone (indices against indices) and loaded (tensors against tensors), by NWays and KShots and by its fused
transform.

The peers are no dependencies: `pip install easyfsl pandas matplotlib` adds the first rows; learn2learn does
not build with a plain pip on Python 3.11 and later. This works:

    pip install cython wheel setuptools requests gym scipy tqdm
    pip install --no-deps --no-build-isolation --use-pep517 \\
        --config-settings="--global-option=build_ext" learn2learn
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import io
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from fewshot.data.image_set import ImageSet
from fewshot.evaluation.accuracy import FewShotAccuracy, evaluate
from fewshot.evaluation.classifiers.classifier import Classifier
from fewshot.evaluation.classifiers.logistic_regression import LogisticRegression
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype
from fewshot.evaluation.embeddings import Embeddings
from fewshot.randomness import generator
from fewshot.sampling.class_table import ClassTable
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.testbed import Testbed, draw_testbed
from fewshot.training.device import keep_memory, set_up

CLASSES, DIM = 20, 640
WAYS, SHOTS, QUERIES = 5, 5, 15
NOISE, SCALE = 4.0, 0.2
"""Spread about the mean of a class, and size: accuracies (81%) and norms (15) as on miniImageNet."""


class Bench:
    """The embeddings, and ours and the peers' ways over them."""

    def __init__(self, each: int) -> None:
        random = generator(0, "embeddings", 0)
        means = torch.randn(CLASSES, 1, DIM, generator=random)
        noise = torch.randn(CLASSES, each, DIM, generator=random)
        self.features = SCALE * (means + NOISE * noise).relu().flatten(0, 1)
        self.labels = torch.arange(CLASSES).repeat_interleave(each)
        images = np.arange(CLASSES * each, dtype=np.int64)
        self.embeddings = Embeddings(self.features, images)
        names = tuple(f"class {number:02d}" for number in range(CLASSES))
        self.table = ClassTable(
            np.arange(CLASSES), names, images.reshape(CLASSES, each), np.full(CLASSES, each)
        )

    def draw(self, episodes: int) -> Testbed:
        return draw_testbed(
            self.table, "test", ways=WAYS, shots=SHOTS, queries=QUERIES, episodes=episodes, seed=0
        )

    def ours(self, classifier: Classifier, episodes: int) -> FewShotAccuracy:
        return evaluate(self.embeddings, self.draw(episodes), classifier)


class AnySource(Sampler[list[int]]):
    """Between EasyFSL's sampler and torch's: takes the argument that the latter no longer knows."""

    def __init__(self, data_source: object = None) -> None:
        super().__init__()


class EasyFSL:
    """EasyFSL's evaluation on its own classes."""

    def __init__(self, bench: Bench) -> None:
        self.version = importlib.metadata.version("easyfsl")
        task_sampler: Any = importlib.import_module("easyfsl.samplers").TaskSampler
        features_dataset: Any = importlib.import_module("easyfsl.datasets.features_dataset").FeaturesDataset
        methods: Any = importlib.import_module("easyfsl.methods")
        self.functions: Any = importlib.import_module("easyfsl.utils")
        self.sampler_class = type("TaskSampler", (task_sampler, AnySource), {})
        self.dataset = features_dataset(bench.labels.tolist(), bench.features, list(bench.table.names))
        self.model = methods.PrototypicalNetworks()

    def evaluate(self, episodes: int) -> float:
        sampler = self.sampler_class(self.dataset, WAYS, SHOTS, QUERIES, episodes)
        loader = DataLoader(self.dataset, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)
        return float(self.functions.evaluate(self.model, loader, device="cpu", use_tqdm=False))

    def accuracies(self, testbed: Testbed) -> NDArray[np.float64]:
        """[episodes], on these very episodes."""
        sampler = self.sampler_class(self.dataset, WAYS, SHOTS, QUERIES, 1)
        lists = testbed.images.reshape(len(testbed), -1).tolist()
        loader = DataLoader(self.dataset, batch_sampler=lists, collate_fn=sampler.episodic_collate_fn)
        with torch.no_grad():
            counts = [self.functions.evaluate_on_one_task(self.model, *batch[:4]) for batch in loader]
        return np.array([correct / total for correct, total in counts])


class Learn2Learn:
    """learn2learn's TaskDataset over tensors."""

    def __init__(self, images: Tensor, labels: Tensor, fused: bool) -> None:
        self.version = importlib.metadata.version("learn2learn")
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            data: Any = importlib.import_module("learn2learn.data")
            transforms: Any = importlib.import_module("learn2learn.data.transforms")
        dataset = data.MetaDataset(TensorDataset(images, labels))
        each = SHOTS + QUERIES
        choose = (
            [transforms.FusedNWaysKShots(dataset, n=WAYS, k=each)]
            if fused
            else [transforms.NWays(dataset, WAYS), transforms.KShots(dataset, each)]
        )
        indices = data.TaskDataset(dataset, choose, num_tasks=-1)
        loaded = [
            *choose,
            transforms.LoadData(dataset),
            transforms.RemapLabels(dataset),
            transforms.ConsecutiveLabels(dataset),
        ]
        self.describe: Callable[[], object] = indices.sample_task_description
        self.load: Callable[[], object] = data.TaskDataset(dataset, loaded, num_tasks=-1).sample


def scikit_learn(bench: Bench, testbed: Testbed) -> NDArray[np.float64]:
    """Accuracies [episodes] of a fit an episode."""
    features = bench.features.numpy()
    targets = np.arange(WAYS)
    accuracies = []
    for episode in testbed.images:
        support, query = episode[:, :SHOTS].reshape(-1), episode[:, SHOTS:].reshape(-1)
        fitted = SklearnLogistic(max_iter=1000).fit(features[support], np.repeat(targets, SHOTS))
        accuracies.append(np.mean(fitted.predict(features[query]) == np.repeat(targets, QUERIES)))
    return np.array(accuracies)


def alternate(
    rounds: int, ours: Callable[[], object], ours_count: int, peer: Callable[[], object], peer_count: int
) -> tuple[float, float]:
    """Episodes a second of both, each the median of some rounds after a first one that warms up."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for side, (run, count) in enumerate(((ours, ours_count), (peer, peer_count))):
            begin = time.process_time()
            run()
            rates[side].append(count / (time.process_time() - begin))
    return statistics.median(rates[0][1:]), statistics.median(rates[1][1:])


def many(call: Callable[[], object], count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            call()

    return run


def line(name: str, ours: float, peer: float | None, note: str = "") -> None:
    told = "none" if peer is None else f"{peer:,.0f}"
    ratio = "" if peer is None else f"{ours / peer:.1f}"
    print(f"{name:34}{ours:12,.0f}{told:>12}{ratio:>9}   {note}", flush=True)


def classification(bench: Bench, episodes: int, rounds: int) -> None:
    peer_episodes = max(5, episodes // 10)
    peer = EasyFSL(bench) if _imports("easyfsl") else None
    few = bench.draw(peer_episodes)
    theirs = None if peer is None else peer.accuracies(few)
    for name, classifier in (
        ("prototype, float32", NearestPrototype()),
        ("prototype, bf16", NearestPrototype(precision="bf16")),
    ):
        run = partial(bench.ours, classifier, episodes)
        if peer is None or theirs is None:
            rate, _ = alternate(rounds, run, episodes, run, episodes)
            line(name, rate, None)
        else:
            rate, other = alternate(
                rounds, run, episodes, lambda: peer.evaluate(peer_episodes), peer_episodes
            )
            found = evaluate(bench.embeddings, few, classifier).accuracies
            line(name, rate, other, agreement(found, theirs))
    fits = max(5, episodes // 50)
    bed = bench.draw(fits)
    ours, known = LogisticRegression(), scikit_learn(bench, bed)
    rate, other = alternate(
        rounds, lambda: bench.ours(ours, 5 * fits), 5 * fits, lambda: scikit_learn(bench, bed), fits
    )
    line(
        "logistic regression", rate, other, agreement(evaluate(bench.embeddings, bed, ours).accuracies, known)
    )


def agreement(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    differing = int((ours != theirs).sum())
    return (
        f"{100 * ours.mean():.3f} and {100 * theirs.mean():.3f}% on the same {len(ours):,} episodes, "
        f"{differing} of them differ"
    )


def drawing(bench: Bench, episodes: int, rounds: int) -> None:
    peers = _imports("learn2learn")
    count = max(5, episodes // 50)
    sampler = EpisodeSampler(bench.table, WAYS, SHOTS, QUERIES, 0, "train")
    steps = iter(range(10**9))

    def one() -> object:
        return sampler.step(next(steps))

    for fused in (False, True):
        peer = Learn2Learn(bench.features, bench.labels, fused) if peers else None
        kind = ", fused" if fused else ""
        for name, run, number in (
            (f"indices, a testbed{kind}", lambda: bench.draw(episodes), episodes),
            (f"indices, step by step{kind}", many(one, count), count),
        ):
            theirs = many(peer.describe, count) if peer else run
            rate, other = alternate(rounds, run, number, theirs, count if peer else number)
            line(name, rate, other if peer else None)
        for channels, side in ((1, 28), (3, 84)):
            pixels = torch.randint(
                0,
                256,
                (len(bench.labels), channels, side, side),
                dtype=torch.uint8,
                generator=generator(0, "p", side),
            )
            image_set = ImageSet(pixels, bench.labels, bench.table.names)

            def tensors(image_set: ImageSet = image_set) -> Tensor:
                return image_set.gather(sampler.step(next(steps)).images)

            some = max(5, count // 4)
            loader = Learn2Learn(pixels, bench.labels, fused).load if peers else tensors
            rate, other = alternate(rounds, many(tensors, some), some, many(loader, some), some)
            line(f"tensors, uint8 {channels} x {side} x {side}{kind}", rate, other if peers else None)


def _imports(name: str) -> bool:
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(name)
    except ImportError:
        return False
    return True


def main() -> None:
    keep_memory()  # as evaluation does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--episodes", type=int, default=10_000, help="of ours; peers get a share of them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="50 episodes, one round: does it run?")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.episodes, arguments.rounds = 50, 1
    warnings.filterwarnings("ignore")
    machine = set_up("cpu", "float32", 1)
    print(
        f"torch {torch.__version__}, {machine.describe()['device']}, 1 thread, {datetime.date.today()}\n"
        f"{WAYS}-way {SHOTS}-shot, {QUERIES} queries a class, {arguments.episodes:,} episodes\n\n"
        f"{'episodes a second':34}{'ours':>12}{'peer':>12}{'ratio':>9}"
    )
    bench = Bench(40 if arguments.quick else 600)
    classification(bench, arguments.episodes, arguments.rounds)
    drawing(bench, arguments.episodes, arguments.rounds)


if __name__ == "__main__":
    main()
