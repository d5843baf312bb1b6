"""TIM: prototypes of the greatest mutual information (Boudiaf et al. 2020, arXiv 2008.11297)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fewshot.errors import InputError
from fewshot.evaluation.classifiers.classifier import balanced_labels
from fewshot.evaluation.classifiers.nearest_prototype import NearestPrototype, class_means


@dataclass(frozen=True)
class TIM:
    """Prototypes that minimise, by Adam, over supports and queries together (equation 3, TIM-GD)

    cross_entropy CE(supports)  -  H(mean over queries of p)  +  conditional mean over queries of H(p)
    with p_ic = softmax_c(-temperature / 2 |x_i - p_c|^2).

    It is transductive, and the second term favours as many queries of each class. The paper's embeddings are
    of length one: classifier=cl2n classifier@classifier.classifier=tim.

    Attributes:
        steps: of Adam.
        rate: of Adam.
        temperature: of the squared distances, above 0.
        cross_entropy, conditional: weights of these terms (lambda and alpha), at least 0.
    """

    steps: int = 1000
    rate: float = 1e-4
    temperature: float = 15.0
    cross_entropy: float = 0.1
    conditional: float = 0.1
    block_bytes: ClassVar[int] = 32 << 20
    transductive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"classifier.steps={self.steps} must be at least 1")
        for name in ("rate", "temperature"):
            if not getattr(self, name) > 0:
                raise InputError(f"classifier.{name}={getattr(self, name)} must be above 0")
        for name in ("cross_entropy", "conditional"):
            if not getattr(self, name) >= 0:
                raise InputError(f"classifier.{name}={getattr(self, name)} must be at least 0")

    def fit(self, support: Tensor) -> InformedPrototypes:
        """Keep the supports [episodes, ways, shots, dim], whose means the steps begin with."""
        return self.fit_labelled(support.flatten(1, 2), balanced_labels(support), support.shape[1])

    def fit_labelled(self, support: Tensor, labels: Tensor, ways: int) -> InformedPrototypes:
        """Keep a copy of supports [episodes, n, dim] with labels [episodes, n]."""
        return InformedPrototypes(self, support, labels, class_means(support, labels, ways))


@dataclass(frozen=True, eq=False)
class InformedPrototypes:
    """The supports [episodes, n, dim] of a block of episodes, their labels [episodes, n] and class means."""

    options: TIM
    support: Tensor
    labels: Tensor
    means: Tensor

    def predict(self, query: Tensor) -> Tensor:
        """Scores [episodes, m, ways] of queries [episodes, m, dim]: logits under the last prototypes."""
        options = self.options
        # Evaluation runs where no gradient exists; copies made outside may have one.
        with torch.inference_mode(False), torch.enable_grad():
            support, labels, query = self.support.clone(), self.labels.clone(), query.clone()
            prototypes = self.means.clone().requires_grad_()
            adam = torch.optim.Adam([prototypes], lr=options.rate)
            for _ in range(options.steps):
                adam.zero_grad()
                known = self._logits(prototypes, support).log_softmax(dim=-1)
                crossed = -known.gather(-1, labels[..., None]).mean(dim=(1, 2))
                log_p = self._logits(prototypes, query).log_softmax(dim=-1)
                p = log_p.exp()
                conditional = -(p * log_p).sum(dim=-1).mean(dim=1)
                marginal = p.mean(dim=1)
                entropy = torch.special.entr(marginal).sum(dim=-1)
                loss = options.cross_entropy * crossed - entropy + options.conditional * conditional
                loss.sum().backward()
                adam.step()
            return self._logits(prototypes, query).detach()

    def _logits(self, prototypes: Tensor, images: Tensor) -> Tensor:
        scores = NearestPrototype().fit_prototypes(prototypes).predict(images)
        return self.options.temperature / 2 * scores
