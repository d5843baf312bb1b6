"""The training loop watched from outside: what each phase of each step uses up of time, or of anything else.

The loop knows nothing of it. A feed around the feed, the methods of the objective and of its network, hooks
on gradients and on the optimizer say when one phase ends and the next begins. They only look: the same steps
lead to the same weights.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fewshot.models.embedder import Embedder
from fewshot.sampling.feed import Batch, EpisodeFeed, HardClassFeed, PlainFeed

DATA, AUGMENT, REST, OPTIMIZER = "data", "augment", "rest of the loop", "optimizer"
NETWORK_FORWARD, NETWORK_BACKWARD = "network forward", "network backward"
LOSS_FORWARD, LOSS_BACKWARD = "loss forward", "loss backward"
PHASES = (
    DATA,
    AUGMENT,
    NETWORK_FORWARD,
    LOSS_FORWARD,
    LOSS_BACKWARD,
    NETWORK_BACKWARD,
    OPTIMIZER,
    REST,
)
"""In the order of a step. Data: drawing, gathering, and looking at the network where a feed does. Loss: all
of the objective that is not the network. Optimizer: norm, clipping and step. A step is what lies between the
beginnings of two batches, so its phases add up to it."""


class Observation:
    """What a counter advances by in each phase of each step.

    Args:
        read: the counter's state, such as a clock's; it never falls.

    Attributes:
        steps: a sum for each phase, of the steps that are over; the loop's last step is not, since nobody
            sees where it ends.
        images, episodes: of the last batch; episodes is 0 where the batch is plain.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.read = read
        self.steps: list[dict[str, float]] = []
        self.images = self.episodes = 0
        self._step: dict[str, float] | None = None
        self._phase = REST
        self._last = 0.0

    def enter(self, phase: str) -> str:
        """The phase changes now; returns the one before."""
        now = self.read()
        if self._step is not None:
            self._step[self._phase] += now - self._last
        self._last = now
        before, self._phase = self._phase, phase
        return before

    def began_step(self) -> None:
        """A batch is asked for: the step before is over."""
        self.enter(DATA)
        if self._step is not None:
            self.steps.append(self._step)
        self._step = dict.fromkeys(PHASES, 0.0)

    def began_backward(self) -> None:
        """Called by the gradient of the loss itself, the first of all."""
        self.enter(LOSS_BACKWARD)
        # Called when the whole backward is through. What follows is the norm of the gradient.
        engine: Any = torch.autograd.Variable._execution_engine
        engine.queue_callback(lambda: self.enter(OPTIMIZER))


class ObservedFeed:
    """A feed that tells an observation when it works."""

    def __init__(self, feed: EpisodeFeed | PlainFeed, observation: Observation) -> None:
        self.feed: EpisodeFeed | PlainFeed = replace(feed, augment=self._augment)
        self.augment = feed.augment
        self.observation = observation

    @property
    def steps_per_epoch(self) -> int:
        return self.feed.steps_per_epoch

    def __call__(self, step: int) -> Batch:
        self.observation.began_step()
        batch = self.feed(step)
        self.observation.images = len(batch.images)
        self.observation.episodes = 0 if batch.episodes is None else batch.episodes[0]
        self.observation.enter(REST)
        return batch

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        self.observation.enter(AUGMENT)
        augmented = self.augment(images, generator)
        self.observation.enter(DATA)
        return augmented


class ObservedAdaptiveFeed(ObservedFeed):
    """An observed feed that looks at the network before a step."""

    feed: HardClassFeed

    def refresh(self, embedder: Embedder, step: int) -> None:
        self.observation.enter(DATA)
        self.feed.refresh(embedder, step)
        self.observation.enter(REST)

    def state_dict(self) -> dict[str, Any]:
        return self.feed.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.feed.load_state_dict(state)


def observed_feed(feed: EpisodeFeed | PlainFeed, observation: Observation) -> ObservedFeed:
    """The observed feed that fits a feed."""
    return (ObservedAdaptiveFeed if isinstance(feed, HardClassFeed) else ObservedFeed)(feed, observation)


@contextmanager
def observed(
    observation: Observation,
    objective: nn.Module,
    embedder: Embedder,
    feed: EpisodeFeed | PlainFeed,
    optimizer: Optimizer,
) -> Iterator[ObservedFeed]:
    """Within it, everything reports to the observation; the feed that it gives is the one to train with.

    Where the network runs several times on images (`mixup=input`), the loss's share of a backward between two
    of these is counted with the network.

    Args:
        objective: called once a step with (batch, generator), and not compiled.
        embedder: its network.
    """

    def enter(phase: str) -> None:
        observation.enter(phase)

    network = _Network(observation)
    with ExitStack() as stack:
        stack.enter_context(_replaced(objective, "forward", _objective(observation, objective.forward)))
        for owner, name in (
            (embedder, "forward"),
            (embedder, "up_to"),
            (embedder, "from_stage"),
            (embedder.head, "forward"),
        ):
            stack.enter_context(_replaced(owner, name, network.watched(getattr(owner, name))))
        for hook in (
            optimizer.register_step_pre_hook(lambda *_: enter(OPTIMIZER)),
            optimizer.register_step_post_hook(lambda *_: enter(REST)),
        ):
            stack.callback(hook.remove)
        yield observed_feed(feed, observation)


class _Network:
    """The calls of a network: of several that are nested the outermost counts."""

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        self.inside = False
        self.latest: weakref.ref[Tensor] | None = None

    def watched(self, call: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def forward(images: Tensor, *further: Any) -> Tensor:
            # What a feed shows the network is no part of a training forward.
            if self.inside or not torch.is_grad_enabled():
                return call(images, *further)
            # Where one call takes what another gave, the backward goes from network to network.
            from_network = self.latest is not None and images is self.latest()
            if images.requires_grad and not from_network:
                _hook(images, lambda: self.observation.enter(LOSS_BACKWARD))
            self.inside = True
            before = self.observation.enter(NETWORK_FORWARD)
            try:
                made = call(images, *further)
            finally:
                self.inside = False
                self.observation.enter(before)
            if made.requires_grad:
                _hook(made, lambda: self.observation.enter(NETWORK_BACKWARD))
            self.latest = weakref.ref(made)
            return made

        return forward


def _objective(
    observation: Observation, call: Callable[..., tuple[Tensor, dict[str, Tensor]]]
) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    def forward(batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        observation.enter(LOSS_FORWARD)
        loss, logs = call(batch, generator)
        if loss.requires_grad:
            _hook(loss, observation.began_backward)
        observation.enter(REST)
        return loss, logs

    return forward


def _hook(tensor: Tensor, call: Callable[[], object]) -> None:
    """Called when the tensor's gradient is known, and before it is used."""

    def hook(_: Tensor) -> None:
        # Without a value: what a hook returns takes the place of the gradient.
        call()

    tensor.register_hook(hook)  # type: ignore[no-untyped-call]


@contextmanager
def _replaced(owner: nn.Module, name: str, by: Callable[..., Any]) -> Iterator[None]:
    """The method of this one object; its class keeps its own."""
    setattr(owner, name, by)
    try:
        yield
    finally:
        delattr(owner, name)
