"""Which losses can be mixed: those of the generic form."""

from __future__ import annotations

from torch import nn

import fewshot.losses
from fewshot.errors import InputError
from fewshot.losses.pair_loss import PairLoss
from fewshot.losses.prototypical import PrototypicalCrossEntropy
from fewshot.losses.prototypical_cosine import CosinePrototypicalCrossEntropy
from fewshot.losses.proxy_anchor import ProxyAnchor
from fewshot.losses.proxy_loss import ProxyLoss

MixableLoss = PairLoss | ProxyAnchor | ProxyLoss
MixableEpisodicLoss = PrototypicalCrossEntropy | CosinePrototypicalCrossEntropy
_FORM = (PairLoss, ProxyAnchor, ProxyLoss, PrototypicalCrossEntropy, CosinePrototypicalCrossEntropy)


def require_generic(loss: nn.Module) -> MixableLoss | MixableEpisodicLoss:
    """The loss itself, if it is of the generic form.

    Raises:
        InputError: it is not; the losses that are, by their names in `conf/loss/`, are listed.
    """
    if isinstance(loss, _FORM):
        return loss
    exported = [getattr(fewshot.losses, name) for name in fewshot.losses.__all__]
    inside = sorted(
        each.__module__.rpartition(".")[2]
        for each in exported
        if isinstance(each, type) and issubclass(each, _FORM)
    )
    raise InputError(
        f"loss {type(loss).__name__} is not of the generic form, so mixup cannot mix its examples; "
        f"use mixup=none, or one of the losses {', '.join(inside)}"
    )
