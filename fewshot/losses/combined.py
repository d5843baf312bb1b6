"""Named losses of an episode, combined as in SuSana Distancia (Mendez-Ruiz et al. 2023, arXiv 2305.09062)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean


class Combined(nn.Module):
    """L = (sum of the chosen terms) / (number of chosen terms), or their sum with weights.

    Args:
        available: every episodic loss there is to choose from, by name. Those that are not chosen are dropped
            with their parameters.
        terms: names of the chosen ones.
        weights: a factor for each chosen term, which replaces 1 / (number of chosen terms).

    Raises:
        InputError: no term, an unknown or repeated one, a weight missing or for a term not chosen, a loss of
            another kind.
    """

    kind: ClassVar[Literal["episodic", "batch"]] = "episodic"

    def __init__(
        self,
        available: Mapping[str, nn.Module],
        terms: Sequence[str],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        _check_terms(terms, available)
        if weights is not None:
            _check_weights(weights, terms)
        self.losses = nn.ModuleDict({term: available[term] for term in terms})
        self.weights = {term: 1 / len(terms) if weights is None else float(weights[term]) for term in terms}

    def forward(self, support: Tensor, query: Tensor) -> Tensor:
        return self.combine(self.named_terms(support, query))

    def named_terms(self, support: Tensor, query: Tensor) -> dict[str, Tensor]:
        """Each chosen term by name, without its weight, a 0-d tensor each; in the order of the choice.

        Args:
            support: [episodes, ways, shots, dim], or [ways, shots, dim].
            query: [episodes, ways, queries, dim], or [ways, queries, dim].
        """
        return {name: loss(support, query) for name, loss in self.losses.items()}

    def combine(self, named_terms: Mapping[str, Tensor]) -> Tensor:
        """The loss, 0-d, from what `named_terms` returned: for callers that log the terms too."""
        return torch.stack([self.weights[name] * term for name, term in named_terms.items()]).sum()


def _check_terms(terms: Sequence[str], available: Mapping[str, nn.Module]) -> None:
    if isinstance(terms, str):
        raise InputError(f"terms={terms} of the loss must be a list: write terms=[{terms}]")
    if not terms:
        raise InputError(f"terms of the loss is empty; choose among {', '.join(available)}")
    for term in terms:
        _require_known(term, available, "terms")
        if getattr(available[term], "kind", None) != "episodic":
            raise InputError(f"term {term} of the loss is not an episodic loss, so it cannot be combined")
    if len(set(terms)) < len(terms):
        raise InputError(f"terms=[{','.join(terms)}] of the loss repeats a term; use weights instead")


def _check_weights(weights: Mapping[str, float], terms: Sequence[str]) -> None:
    for term in weights:
        _require_known(term, terms, "weights")
    missing = [term for term in terms if term not in weights]
    if missing:
        raise InputError(f"weights of the loss lacks {', '.join(missing)}; weigh every chosen term, or none")


def _require_known(name: str, known: Mapping[str, object] | Sequence[str], argument: str) -> None:
    if name in known:
        return
    raise InputError(
        f"{argument} of the loss has no term '{name}' to choose; the terms are {', '.join(known)}"
        f"{did_you_mean(name, known)}"
    )
