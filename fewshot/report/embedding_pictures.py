"""Pictures of the embeddings: nearest neighbours, a map in two dimensions, likeness of class means."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from fewshot.evaluation.evaluated_images import EvaluatedImages, evenly
from fewshot.evaluation.nearest import nearest
from fewshot.report.charts import points
from fewshot.report.heat_map import heat_map
from fewshot.report.markup import Markup, join, paragraph, table, tag
from fewshot.report.section import LeftOut
from fewshot.report.thumbnails import thumbnail

QUERIES, NEIGHBOURS = 8, 6
MAP_CLASSES, MAP_IMAGES = 12, 25
MEANS = 20
_PAIRS = 5
_FEWEST_FOR_TSNE = 30


def neighbours(images: EvaluatedImages | str) -> Markup:
    """Some images with those nearest to them by cosine."""
    images = _there(images)
    features, labels = images.embeddings.features, images.labels
    if len(labels) < 2:
        raise LeftOut("one image has no neighbours")
    rows = images.spread(QUERIES, 1)
    ids = torch.arange(len(features), device=features.device)
    asked = torch.from_numpy(rows).to(features.device)
    found = nearest(features[asked], features, NEIGHBOURS, query_ids=asked, gallery_ids=ids)
    shown = []
    for row, near, likeness in zip(rows, found.indices.cpu(), found.similarities.cpu(), strict=True):
        own = images.class_name(int(labels[row]))
        number = int(images.embeddings.images[row])
        cells = [
            thumbnail(images.image_set, number, f"query: {own}", own, "query"),
            tag("span", "→", class_="then", aria_hidden="true"),
        ]
        for place, cosine in zip(near.tolist(), likeness.tolist(), strict=True):
            if place < 0:
                continue
            name, same = images.class_name(int(labels[place])), labels[place] == labels[row]
            told = f"{'the same class' if same else 'another class'}: {name}, cosine {cosine:.3f}"
            caption = f"{'✓' if same else '✗'} {cosine:.2f} {'' if same else name}"
            image = int(images.embeddings.images[place])
            cells.append(thumbnail(images.image_set, image, told, caption, "right" if same else "wrong"))
        shown.append(tag("div", *cells, class_="row"))
    told = (
        f"{len(rows)} images of as many classes, taken evenly through the classes and not by how they fare, "
        f"and their {NEIGHBOURS} nearest by cosine among {len(labels):,} images ({images.what}). "
        "✓ the same class, ✗ (dashed) another one."
    )
    return join((paragraph(told), *shown))


def embedding_map(images: EvaluatedImages | str) -> Markup:
    """t-SNE of some embeddings (principal components where they are few), coloured by class."""
    images = _there(images)
    rows = images.spread(MAP_CLASSES, MAP_IMAGES)
    labels = images.labels[rows]
    features = normalize(images.embeddings.features[rows].float(), dim=1).double().cpu().numpy()
    if len(rows) < 3:
        raise LeftOut("a map needs three images or more")
    method, places = _flattened(features)
    numbers, groups = np.unique(labels, return_inverse=True)
    names = [images.class_name(int(n)) for n in numbers]
    told = (
        f"{len(rows)} images of {len(numbers)} classes, evenly through {images.what}; unit embeddings by "
        f"{method}. Axes have no units; distances between far groups mean little."
    )
    return join((points(f"Map of the embeddings ({method})", places, groups, names), paragraph(told)))


def class_likeness(images: EvaluatedImages | str) -> Markup:
    """Cosines between the mean embeddings of classes."""
    images = _there(images)
    numbers, groups = np.unique(images.labels, return_inverse=True)
    if len(numbers) < 2:
        raise LeftOut("there is one class alone")
    features = images.embeddings.features
    place = torch.from_numpy(groups).to(features.device)
    sums = torch.zeros(len(numbers), features.shape[1], device=features.device).index_add_(
        0, place, normalize(features.float(), dim=1)
    )
    means = normalize(sums, dim=1)
    cosines = (means @ means.T).double().cpu().numpy()
    names = [images.class_name(int(n)) for n in numbers]
    chosen = evenly(len(numbers), MEANS)
    shown = cosines[np.ix_(chosen, chosen)]
    between = shown[~np.eye(len(chosen), dtype=bool)]
    chart = heat_map(
        "Cosines of class means",
        shown,
        [names[row] for row in chosen],
        rows_are="class",
        columns_are="class",
        low=float(np.floor(20 * between.min()) / 20),
        high=1.0,
    )
    upper = np.where(np.tri(len(numbers), k=0, dtype=bool), -2.0, cosines)
    ranked = np.argsort(-upper.reshape(-1), kind="stable")[
        : min(_PAIRS, len(numbers) * (len(numbers) - 1) // 2)
    ]
    rows = [
        (
            join((names[cell // len(numbers)], tag("br"), names[cell % len(numbers)])),
            f"{upper.flat[cell]:.3f}",
        )
        for cell in ranked
    ]
    some = f"{len(chosen)} of {len(numbers)} classes, evenly through "
    told = f"{some if len(chosen) < len(numbers) else ''}{images.what}; means of unit embeddings."
    pairs = table(("classes", "cosine"), rows, f"Most alike of all {len(numbers)} classes", wrapped=True)
    return tag("div", tag("div", chart, paragraph(told)), pairs, class_="pair")


def _flattened(features: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
    """The method and float64 [n, 2]."""
    if len(features) >= _FEWEST_FOR_TSNE and features.std() > 0:
        from sklearn.manifold import TSNE

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tsne = TSNE(perplexity=min(30, len(features) / 4), init="pca", random_state=0, max_iter=500)
            return "t-SNE", tsne.fit_transform(features).astype(np.float64)
    centred = features - features.mean(0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(features), 2))
    kept = min(2, len(spread))
    places[:, :kept] = left[:, :kept] * spread[:kept]
    return "principal components", places


def _there(images: EvaluatedImages | str) -> EvaluatedImages:
    if isinstance(images, str):
        raise LeftOut(images)
    return images
