"""Label a user's own images from a few examples of each class."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fewshot.data.image_folders import printable
from fewshot.data.labelling import Found, find_query
from fewshot.data.reading import Decoded
from fewshot.errors import InputError
from fewshot.evaluation.embedding_cache import weights_sha256
from fewshot.evaluation.labeller import Labeller
from fewshot.progress import Progress
from fewshot.recipes.encoder import Encoder
from fewshot.recipes.prediction import Prediction
from fewshot.recipes.prediction_config import anywhere, called, check, config_of, query_names
from fewshot.recipes.prediction_files import write_files
from fewshot.recipes.prediction_page import write_page
from fewshot.recipes.prediction_rows import Rows, read_state, write_state
from fewshot.recipes.run_record import save_config
from fewshot.recipes.storing import opened
from fewshot.recipes.support import Support
from fewshot.training.device import set_up
from fewshot.training.run_directory import new_run_dir
from fewshot.training.stopping import Stopped, stop_request


def predict(config: DictConfig) -> Path:
    """Label as `conf/predict.yaml` says; write the files and print a summary.

    Returns:
        the folder with predictions.csv, predictions.json and index.html.

    Raises:
        InputError: anything the user can mend.
        Stopped: a signal asked to stop; the folder says how far it came.
    """
    began = time.monotonic()
    resumed = None if config.resume is None else Path(config.resume)
    if resumed is not None:
        config = config_of(resumed, config)
    check(config)
    machine = set_up(config.device, config.precision, config.threads)
    query = find_query(config.query)
    if config.unreadable == "error" and query.left_out:
        name = printable(str(query.left_out[0]))
        raise InputError(f"{name}: is no image; remove it or use unreadable=skip")
    encoder, support, labeller = opened(config, machine)

    names = query_names(config, query)
    fingerprint = _fingerprint(encoder, support, names)
    folder = resumed or new_run_dir(config.output_dir, f"predict-{config.name or called(config)}")
    if resumed is None:
        save_config(folder, anywhere(config))
    elif read_state(folder)["fingerprint"] != fingerprint:
        raise InputError(
            f"resume={folder}: the model, the support or the query has changed since it began; "
            "start a new prediction"
        )
    write_state(folder, "running", fingerprint)
    rows = Rows(folder)
    try:
        label_all(query, names, encoder, support, labeller, rows, config)
    except Stopped:
        write_state(folder, "stopped", fingerprint)
        raise
    except InputError:
        # What is labelled is kept for resume=; a folder without any says nothing.
        if resumed is None and not rows.path.exists():
            shutil.rmtree(folder)
        else:
            write_state(folder, "stopped", fingerprint)
        raise

    prediction = Prediction.of(config, encoder, support, query, labeller, rows)
    if not prediction.total:
        shutil.rmtree(folder)
        why = prediction.problems[-1]
        raise InputError(f"query: none of {len(names)} files can be read as an image; {why}")
    write_files(folder, prediction, rows, config.top, config.nearest)
    write_page(folder, prediction, support, query, rows, config.thumbnails)
    rows.path.unlink()
    write_state(folder, "finished", fingerprint)
    print(prediction.summary())
    print(f"time       {time.monotonic() - began:.1f} s")
    print(f"saved      {folder / 'index.html'} (to look at), predictions.csv, predictions.json")
    return folder


def label_all(
    query: Found,
    names: list[str],
    encoder: Encoder,
    support: Support,
    labeller: Labeller,
    rows: Rows,
    config: DictConfig,
) -> None:
    """Label the query images that have no row yet, batch by batch.

    Raises:
        Stopped: after the batch in which a signal came.
        InputError: with `unreadable=error` the first file that can't be read as an image.
    """
    done = rows.kept(config.batch)
    total = len(query.paths)
    with stop_request() as stop, Progress("predicting", total, "images", done=done) as progress:
        for batch in encoder.reading.batches(query.paths[done:], config.batch):
            made = _label(batch, names[done : done + len(batch)], done, encoder, support, labeller, config)
            if config.unreadable == "error":
                for row in made:
                    if "problem" in row:
                        raise InputError(row["problem"])
            rows.append(made)
            done += len(batch)
            progress.advance(len(batch))
            if stop.signal is not None and done < total:
                standing = f"{done:,} of {total:,} images are labelled"
                raise Stopped(stop.signal, f"{standing}; python predict.py resume={rows.folder} goes on")


def _label(
    batch: list[Decoded],
    names: list[str],
    first: int,
    encoder: Encoder,
    support: Support,
    labeller: Labeller,
    config: DictConfig,
) -> list[dict[str, Any]]:
    """A row for each file of a batch; `first` is the number of the first file."""
    pixels = [decoded.pixels for decoded in batch if decoded.pixels is not None]
    labels: Iterator[tuple[Any, ...]] = iter(())
    if pixels:
        found = labeller.label(encoder.embed(pixels), config.top, config.nearest)
        labels = iter(zip(*(part.tolist() for part in found), strict=True))
    rows: list[dict[str, Any]] = []
    for number, (decoded, name) in enumerate(zip(batch, names, strict=True), first):
        row: dict[str, Any] = {"query": name, "number": number}
        if decoded.pixels is None:
            rows.append({**row, "problem": decoded.problem})
            continue
        classes, probabilities, distances, nearest, nearest_distances, spread = next(labels)
        rows.append(
            {
                **row,
                "classes": [support.classes[c] for c in classes],
                "probabilities": [_short(p) for p in probabilities],
                "distances": [_short(d) for d in distances],
                "nearest": nearest,
                "nearest_distances": [_short(d) for d in nearest_distances],
                "spread": _short(spread),
                "unlike": spread > labeller.prototypes.threshold,
                "same": support.row_of.get(decoded.digest),
            }
        )
    return rows


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _fingerprint(encoder: Encoder, support: Support, names: list[str]) -> str:
    """Of what the rows depend on, beside the options in the folder's config."""
    told = [weights_sha256(encoder.embedder), repr(encoder.reading), *support.row_of, *names]
    told += [repr(sorted(enumerate(support.counts))), *filter(None, [support.sha256])]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
