"""Losses on embeddings, one a file: a pure function of tensors and a thin module that holds its parameters.

Each module says its `kind`. An `episodic` one is called with support [episodes, ways, shots, dim] and query
[episodes, ways, queries, dim], a `batch` one with embeddings [m, dim] and labels int64 [m]. Both give a
0-d tensor.
"""

from fewshot.losses.arcface import ArcFace, arcface
from fewshot.losses.binomial_deviance import BinomialDeviance
from fewshot.losses.circle import Circle, circle
from fewshot.losses.combined import Combined
from fewshot.losses.contrastive import Contrastive
from fewshot.losses.cosface import CosFace, cosface
from fewshot.losses.cosine_cross_entropy import CosineCrossEntropy
from fewshot.losses.cross_batch_memory import CrossBatchMemory
from fewshot.losses.cross_entropy import CrossEntropy
from fewshot.losses.icnn import ICNN, icnn
from fewshot.losses.icnn_2021 import ICNN2021
from fewshot.losses.info_nce import InfoNCE
from fewshot.losses.lifted_structure import LiftedStructure, lifted_structure
from fewshot.losses.lifted_structure_hermans import LiftedStructureHermans
from fewshot.losses.logit_distillation import logit_distillation
from fewshot.losses.margin import Margin, margin
from fewshot.losses.matching import MatchingNetwork, matching
from fewshot.losses.multi_similarity import MultiSimilarity
from fewshot.losses.n_pair import NPair
from fewshot.losses.nca import NCA, nca
from fewshot.losses.normalized_softmax import NormalizedSoftmax
from fewshot.losses.nt_xent import NTXent, nt_xent
from fewshot.losses.proto_triplet import ProtoTriplet, proto_triplet
from fewshot.losses.prototype_attraction import prototype_attraction
from fewshot.losses.prototypical import PrototypicalCrossEntropy, prototypical_cross_entropy
from fewshot.losses.prototypical_cosine import CosinePrototypicalCrossEntropy
from fewshot.losses.proxy_anchor import ProxyAnchor
from fewshot.losses.proxy_nca import ProxyNCA
from fewshot.losses.proxy_nca_pp import ProxyNCAPlusPlus
from fewshot.losses.relation_distillation import RelationDistillation, relation_distillation
from fewshot.losses.soft_triple import SoftTriple
from fewshot.losses.supcon import SupCon, supcon
from fewshot.losses.triplet import Triplet, triplet

__all__ = [
    "ICNN",
    "ICNN2021",
    "NCA",
    "ArcFace",
    "BinomialDeviance",
    "Circle",
    "Combined",
    "Contrastive",
    "CosFace",
    "CosineCrossEntropy",
    "CosinePrototypicalCrossEntropy",
    "CrossBatchMemory",
    "CrossEntropy",
    "InfoNCE",
    "LiftedStructure",
    "LiftedStructureHermans",
    "Margin",
    "MatchingNetwork",
    "MultiSimilarity",
    "NPair",
    "NTXent",
    "NormalizedSoftmax",
    "ProtoTriplet",
    "PrototypicalCrossEntropy",
    "ProxyAnchor",
    "ProxyNCA",
    "ProxyNCAPlusPlus",
    "RelationDistillation",
    "SoftTriple",
    "SupCon",
    "Triplet",
    "arcface",
    "circle",
    "cosface",
    "icnn",
    "lifted_structure",
    "logit_distillation",
    "margin",
    "matching",
    "nca",
    "nt_xent",
    "proto_triplet",
    "prototype_attraction",
    "prototypical_cross_entropy",
    "relation_distillation",
    "supcon",
    "triplet",
]
