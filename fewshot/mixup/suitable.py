"""Which mixing a loss on plain batches can have."""

from __future__ import annotations

from dataclasses import replace

from fewshot.errors import InputError
from fewshot.losses.pair_loss import PairLoss
from fewshot.losses.proxy_anchor import ProxyAnchor
from fewshot.losses.proxy_loss import ProxyLoss
from fewshot.mixup.generic_losses import MixableLoss
from fewshot.mixup.metrix import Metrix


def suited(loss: MixableLoss, mixup: Metrix) -> Metrix:
    """What is asked for, its `draw` chosen to suit the loss.

    Raises:
        InputError: the loss has no such pairs, or its mixed term would be a constant; what is asked for is of
            episodes.
    """
    if mixup.episode != "queries":
        raise InputError(
            f"mixup.episode={mixup.episode}: {type(loss).__name__} is trained on plain batches, which have "
            "no queries and supports; leave it out"
        )
    _check_pairs(loss, mixup)
    if isinstance(loss, PairLoss) and loss.form.alike:
        _check_not_constant(loss, mixup)
        return replace(mixup, draw="pair")
    return replace(mixup, draw=mixup.draw or "batch")


def _check_not_constant(loss: PairLoss, mixup: Metrix) -> None:
    """Examples that count alike on both sides cancel where all have the same weight, or there is but one."""
    senseless = {
        "draw": mixup.draw == "batch",
        "pairs": mixup.pairs == "positive_positive",
        "hardest": mixup.hardest == 1,
    }
    for option in (name for name, so in senseless.items() if so):
        raise InputError(
            f"mixup.{option}={getattr(mixup, option)}: {type(loss).__name__} weighs an example alike as "
            "positive and as negative, so this mixed loss would be a constant; leave it out: each pair then "
            "draws its own weight"
        )


def _check_pairs(loss: MixableLoss, mixup: Metrix) -> None:
    name = type(loss).__name__
    if mixup.pairs == "anchor_negative" and isinstance(loss, ProxyAnchor):
        raise InputError(
            f"mixup.pairs=anchor_negative: the anchors of {name} are proxies, which have no image or map to "
            "mix; use alternate or positive_negative"
        )
    if mixup.pairs == "negative_negative":
        if isinstance(loss, ProxyLoss):
            raise InputError(
                f"mixup.pairs=negative_negative: the mixed examples of {name} are anchors, whose classes are "
                "their positives; use alternate"
            )
        if "log" in (loss.form.positive.sigma, loss.form.negative.sigma):
            raise InputError(
                f"mixup.pairs=negative_negative: {name} takes the logarithm of a sum over positives, and "
                "these pairs have none; use alternate"
            )
