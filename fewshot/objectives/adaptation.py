"""The inner loop of MAML and ANIL: a network fitted to the support of one episode by gradient steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.errors import InputError
from fewshot.learn2learn import learn2learn
from fewshot.models.embedder import Embedder

Labeller = Callable[[Tensor], Tensor]
"""Query images [m, channels, height, width] to logits [m, ways]."""


@dataclass(frozen=True)
class Adaptation:
    """Gradient steps on the cross-entropy of an episode's support, by `learn2learn.algorithms.MAML`.

    The embedder's head is the classifier: its outputs are the ways of an episode. `adapt=all` is MAML (Finn
    et al., ICML 2017, arXiv 1703.03400): theta' = theta - inner_lr * grad L_support(theta), `inner_steps`
    times. `adapt=head` is ANIL (Raghu et al., ICLR 2020, arXiv 1909.09157): the steps change the head
    alone, and the features below it are computed once.

    BatchNorm always normalises by images of the episode. `statistics=batch` is what MAML's code does and
    papers report: the queries by their own mean and variance. That is transductive, since the
    score of a query then depends on the others. `statistics=support` normalises support and queries by those
    of the support (the MetaBN of Bronskill et al., ICML 2020, arXiv 2003.03284), and is not.

    Attributes:
        adapt: all or head.
        inner_steps: steps on each support.
        inner_lr: their rate.
        first_order: leave out the second derivatives in training (FOMAML).
        statistics: batch or support.
    """

    adapt: str = "all"
    inner_steps: int = 1
    inner_lr: float = 0.4
    first_order: bool = False
    statistics: str = "batch"

    def __post_init__(self) -> None:
        if self.adapt not in ("all", "head"):
            raise InputError(f"maml.adapt={self.adapt} must be all (MAML) or head (ANIL)")
        if self.inner_steps < 1:
            raise InputError(f"maml.inner_steps={self.inner_steps} must be at least 1")
        if not self.inner_lr > 0:
            raise InputError(f"maml.inner_lr={self.inner_lr} must be above 0")
        if self.statistics not in ("batch", "support"):
            raise InputError(f"maml.statistics={self.statistics} must be batch or support")

    @property
    def name(self) -> str:
        """What papers call it."""
        return "maml" if self.adapt == "all" else "anil"

    def transductive(self, embedder: nn.Module) -> bool:
        """Whether the score of a query depends on the other queries of its episode."""
        return self.statistics == "batch" and any(_batchnorms(embedder))

    def fitted(self, embedder: Embedder, support: Tensor, ways: int) -> Labeller:
        """The network after its steps on a support; the embedder's own parameters stay as they are.

        What it makes of queries has a gradient with respect to the embedder's parameters, through the
        steps unless `first_order`. BatchNorm layers should be in training mode.

        Args:
            support: [ways * shots, channels, height, width], way by way.
            ways: how many classes they are of.
        """
        labels = torch.arange(ways, device=support.device).repeat_interleave(len(support) // ways)
        part = embedder if self.adapt == "all" else embedder.head
        learner = self._maml(part, lr=self.inner_lr, first_order=self.first_order, allow_nograd=True).clone()
        # ANIL computes the features once, and the outer gradient passes through them.
        seen = support if self.adapt == "all" else embedder.features(support)
        for _ in range(self.inner_steps):
            learner.adapt(F.cross_entropy(learner(seen), labels))
        whole = learner.module if self.adapt == "all" else embedder

        def logits(images: Tensor) -> Tensor:
            made: Tensor = learner(images if self.adapt == "all" else embedder.features(images))
            return made

        def by_support(queries: Tensor) -> Tensor:
            with _normalised_by_first(whole, len(support)):
                return logits(torch.cat([support, queries]))[len(support) :]

        return logits if self.statistics == "batch" else by_support

    def require_package(self) -> None:
        """Raise the InputError of a missing learn2learn now, before any work."""
        _ = self._maml

    @cached_property
    def _maml(self) -> Any:
        return learn2learn().algorithms.MAML


def require_classifier(embedder: Embedder, ways: int) -> None:
    """Refuse an embedder whose outputs are not the ways of an episode.

    Raises:
        InputError: they are more or fewer.
    """
    if embedder.dim != ways:
        raise InputError(
            f"the head has {embedder.dim} outputs, but an episode has {ways} ways: MAML and ANIL adapt a "
            "classifier of so many ways (train with head=classifier, test with the ways of training)"
        )


def _batchnorms(network: nn.Module) -> Iterator[_BatchNorm]:
    return (module for module in network.modules() if isinstance(module, _BatchNorm))


@contextmanager
def episode_statistics(embedder: Embedder) -> Iterator[None]:
    """Within it, BatchNorm layers normalise by what they are given, and keep their running statistics.

    Everything else, such as dropout, stays in evaluation mode.
    """
    layers = list(_batchnorms(embedder))
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.train()
    try:
        with embedder.statistics_kept():
            yield
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.train(mode)


@contextmanager
def _normalised_by_first(network: nn.Module, count: int) -> Iterator[None]:
    """Within it, BatchNorm layers take mean and variance of the first `count` images for all images."""
    layers = list(_batchnorms(network))
    for layer in layers:
        vars(layer)["forward"] = partial(_by_first, layer, count)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _by_first(layer: _BatchNorm, count: int, x: Tensor) -> Tensor:
    others = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(
        x[:count].to(torch.promote_types(x.dtype, torch.float32)), others, correction=0, keepdim=True
    )
    shape = mean.shape
    scale = torch.rsqrt(variance + layer.eps)
    if layer.weight is not None:
        scale = scale * layer.weight.view(shape)
    shift = -mean * scale if layer.bias is None else layer.bias.view(shape) - mean * scale
    return (x * scale + shift).to(x.dtype)
