"""Losses on embeddings, one a file: a pure function of tensors and a thin module that holds its parameters.

Each module says its `kind`. An `episodic` one is called with support [episodes, ways, shots, dim] and query
[episodes, ways, queries, dim], a `batch` one with embeddings [m, dim] and labels int64 [m]. Both give a
0-d tensor.
"""

from fewshot.losses.combined import Combined
from fewshot.losses.cosine_cross_entropy import CosineCrossEntropy
from fewshot.losses.cross_entropy import CrossEntropy
from fewshot.losses.icnn import ICNN, icnn
from fewshot.losses.icnn_2021 import ICNN2021
from fewshot.losses.matching import MatchingNetwork, matching
from fewshot.losses.nca import NCA, nca
from fewshot.losses.proto_triplet import ProtoTriplet, proto_triplet
from fewshot.losses.prototypical import PrototypicalCrossEntropy, prototypical_cross_entropy
from fewshot.losses.prototypical_cosine import CosinePrototypicalCrossEntropy

__all__ = [
    "ICNN",
    "ICNN2021",
    "NCA",
    "Combined",
    "CosineCrossEntropy",
    "CosinePrototypicalCrossEntropy",
    "CrossEntropy",
    "MatchingNetwork",
    "ProtoTriplet",
    "PrototypicalCrossEntropy",
    "icnn",
    "matching",
    "nca",
    "proto_triplet",
    "prototypical_cross_entropy",
]
