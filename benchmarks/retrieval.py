"""Times exact search and the retrieval measures at the size of Stanford Online Products, one thread.

    python benchmarks/retrieval.py [--size 60502] [--neighbours 10]

All images query all others: unit vectors of 512 dimensions that scatter about the mean of their class, with 5
or 6 images in each. Times are processor time, which other jobs of the machine hardly change. Memory is the
peak beyond what the process holds with the embeddings made. `nearest` leaves each query out of its own
neighbours; `retrieve` also computes Recall@K, R-precision, MAP@R and MRR. faiss is no dependency of this
project: `pip install faiss-cpu` adds the row of its IndexFlatIP, which copies the embeddings and finds each
query itself first. `equal` is the share of our neighbours (by row) that it finds in the same place; rounding
decides between those whose cosines agree to the last digits.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from peak_memory import PeakMemory
from torch import Tensor

from fewshot.evaluation.embeddings import Embeddings
from fewshot.evaluation.nearest import nearest
from fewshot.evaluation.retrieval import retrieve
from fewshot.randomness import generator
from fewshot.training.device import set_up

IMAGES, DIM, IMAGES_OF_TWO_CLASSES = 60502, 512, 11
BLOCK = 4096
NOISE = 2.2
"""Of a component, as a multiple of that of the class's mean; Recall@1 is then as after a training."""

Result = TypeVar("Result")


class Cost(NamedTuple):
    seconds: float
    mebibytes: float


def data(images: int) -> tuple[Tensor, NDArray[np.int64]]:
    """Unit vectors [images, DIM] and their classes [images], made in blocks: no memory is left behind."""
    draw = generator(0, "benchmark of retrieval", 0)
    pair, place = np.divmod(np.arange(images), IMAGES_OF_TWO_CLASSES)
    labels = 2 * pair + (place > 4)
    embeddings = torch.empty(images, DIM).normal_(generator=draw).mul_(NOISE)
    means = torch.randn(int(labels.max()) + 1, DIM, generator=draw)
    for first in range(0, images, BLOCK):
        rows = embeddings[first : first + BLOCK]
        rows += means[labels[first : first + BLOCK]]
        rows /= rows.norm(dim=1, keepdim=True)
    return embeddings, labels


def cost(work: Callable[[], Result]) -> tuple[Result, Cost]:
    memory = PeakMemory()
    begin = time.process_time()
    result = work()
    return result, Cost(time.process_time() - begin, memory.beyond())


def of_faiss(faiss: Any, embeddings: Tensor, k: int) -> NDArray[np.int64]:
    """The neighbours [n, k + 1] of each, itself among them."""
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(DIM)
    index.add(embeddings.numpy())
    neighbours: NDArray[np.int64] = index.search(embeddings.numpy(), k + 1)[1]
    return neighbours


def without_itself(neighbours: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n, k] of [n, k + 1]: each row without its own number, or without its last where that is not there."""
    own = neighbours == np.arange(len(neighbours))[:, None]
    own[~own.any(1), -1] = True
    others: NDArray[np.int64] = neighbours[~own].reshape(len(neighbours), -1)
    return others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=IMAGES, help="number of images")
    parser.add_argument("--neighbours", type=int, default=10, help="of each query, for `nearest` and faiss")
    parser.add_argument("--quick", action="store_true", help="a thousand images: does it run?")
    arguments = parser.parse_args()
    size = 1000 if arguments.quick else arguments.size
    machine = set_up("cpu", "float32", 1)
    print(
        f"torch {torch.__version__}, {machine.describe()['device']}, 1 thread, {datetime.date.today()}\n"
        f"{size} x {DIM}, {arguments.neighbours} neighbours\n"
    )
    print(f"{'':24}{'seconds':>9}{'MiB':>8}{'ratio':>8}{'equal':>9}")
    embeddings, labels = data(size)
    itself = torch.arange(size)
    ours, of_ours = cost(
        lambda: (
            nearest(
                embeddings, embeddings, arguments.neighbours, query_ids=itself, gallery_ids=itself
            ).indices
        )
    )
    print(f"{'nearest':24}{of_ours.seconds:9.1f}{of_ours.mebibytes:8.0f}", flush=True)
    try:
        faiss = importlib.import_module("faiss")
    except ImportError:
        print("no faiss to compare with (pip install faiss-cpu)")
    else:
        theirs, of_theirs = cost(lambda: of_faiss(faiss, embeddings, arguments.neighbours))
        equal = float((without_itself(theirs) == ours.numpy()).mean())
        ratio = of_theirs.seconds / of_ours.seconds
        name = f"faiss {faiss.__version__}"
        print(
            f"{name:24}{of_theirs.seconds:9.1f}{of_theirs.mebibytes:8.0f}{ratio:8.2f}{equal:9.4%}", flush=True
        )
    result, of_measures = cost(
        lambda: retrieve(Embeddings(embeddings, np.arange(size)), labels, recall_at=(1, 10, 100, 1000))
    )
    print(f"{'retrieve':24}{of_measures.seconds:9.1f}{of_measures.mebibytes:8.0f}")
    print("\n" + ", ".join(f"{name} {each.mean:.3f}" for name, each in result.intervals().items()))


if __name__ == "__main__":
    main()
