"""How much of a backbone is trained: nothing of it, all of it at a lower rate, or low-rank adapters in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.models.embedder import Embedder


@dataclass(frozen=True)
class Frozen:
    """The backbone rests, BatchNorm and dropout in it too; head and loss alone are trained.

    Attributes:
        cache: embed each training image once and train on its features, where that is the same: with
            augment=none, mixup=none and a sampler that does not look at the network. They are kept in memory.
    """

    cache: bool = True

    def apply(self, embedder: Embedder) -> None:
        """Take the backbone out of training, for good."""
        embedder.freeze_backbone()


@dataclass(frozen=True)
class FineTuned:
    """All is trained, the backbone at a share of the optimizer's rate.

    Attributes:
        lr_scale: that share, above 0.
    """

    lr_scale: float = 0.1

    def __post_init__(self) -> None:
        if not self.lr_scale > 0:
            raise InputError(
                f"adapt.lr_scale={self.lr_scale} must be above 0; adapt=frozen trains none of it"
            )

    def apply(self, embedder: Embedder) -> None:
        """Let `parameter_groups` give the backbone a group of its own."""
        embedder.backbone.lr_scale = self.lr_scale  # type: ignore[assignment]


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) through peft: W + (alpha / rank) B A, W frozen.

    Adapters and the head are trained, nothing else of the network; BatchNorm keeps its statistics. A run's
    `last.pt` holds the adapters, its `best.pt` the sum: a network like any other, which needs no peft.

    Attributes:
        rank: of B A.
        alpha: see above.
        dropout: on what goes into an adapter.
        targets: ends of the names of the layers that get one; None: every linear layer of the backbone,
            every convolution where it has no linear ones.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"adapt.rank={self.rank} must be at least 1")
        if not self.alpha > 0:
            raise InputError(f"adapt.alpha={self.alpha} must be above 0")
        if not 0 <= self.dropout < 1:
            raise InputError(f"adapt.dropout={self.dropout} must be from 0 to below 1")

    def apply(self, embedder: Embedder) -> None:
        """Put the adapters into the backbone; B begins at zero, so that embeddings do not change.

        Raises:
            InputError: peft is not installed, or no layer has such a name.
        """
        try:
            import peft
        except ImportError as error:
            raise InputError(
                "adapt=lora needs peft, which is not installed; pip install 'fewshot[lora]'"
            ) from error
        backbone = embedder.backbone
        options = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=self._layers(backbone),
        )
        peft.inject_adapter_in_model(options, backbone)
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(".lora_" in name)
        embedder.freeze_batchnorm()

    def _layers(self, backbone: nn.Module) -> list[str]:
        by_kind: dict[type, list[str]] = {nn.Linear: [], nn.Conv2d: []}
        for name, module in backbone.named_modules():
            wanted = self.targets is None or any(f".{name}".endswith(f".{end}") for end in self.targets)
            # A convolution in groups takes a rank that they divide.
            if wanted and type(module) in by_kind and getattr(module, "groups", 1) == 1:
                by_kind[type(module)].append(name)
        linear, convolutions = by_kind[nn.Linear], by_kind[nn.Conv2d]
        found = (linear or convolutions) if self.targets is None else linear + convolutions
        if not found:
            named = "" if self.targets is None else f" called {', '.join(self.targets)}"
            raise InputError(
                f"adapt=lora: {type(backbone).__name__} has no linear layer or convolution{named}"
            )
        return found


def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """The state_dict of a network, each adapter added to the weight it belongs to."""
    state: dict[str, Tensor] = network.state_dict()
    for name, module in network.named_modules():
        if not (hasattr(module, "base_layer") and hasattr(module, "get_delta_weight")):
            continue
        own = {key: state.pop(key) for key in list(state) if key.startswith(f"{name}.")}
        base = f"{name}.base_layer."
        for key, value in own.items():
            if key.startswith(base):
                state[f"{name}.{key.removeprefix(base)}"] = value
        weight = f"{name}.weight"
        state[weight] = state[weight] + module.get_delta_weight("default").detach().to(state[weight])
    return state
