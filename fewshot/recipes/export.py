"""A trained model as files for others: safetensors with a card, and programs that need no fewshot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from fewshot.errors import InputError
from fewshot.recipes.encoder import reading_of
from fewshot.recipes.exported import CARD, WEIGHTS, write_exported
from fewshot.recipes.leakage import origin
from fewshot.recipes.model import load_model, model_file, saved_model
from fewshot.recipes.programs import Difference, probes, require_onnx, traced, write_onnx, write_torch
from fewshot.suggestion import did_you_mean
from fewshot.whole_file import whole_folder

FORMATS = ("safetensors", "torch", "onnx")
_FILES = {"torch": "model.pt2", "onnx": "model.onnx"}


def export(run: Path, to: Path, formats: Sequence[str]) -> Path:
    """Write the model of a run into a new folder, each file checked against the model, or nothing at all.

    Args:
        run: folder of the run, a checkpoint, or a folder that was exported.
        to: the new folder.
        formats: of `FORMATS`; safetensors and the card are written in any case.

    Returns:
        the folder.

    Raises:
        InputError: anything the user can mend; also a program that computes something else than the model.
    """
    for name in formats:
        if name not in FORMATS:
            near = did_you_mean(name, FORMATS)
            raise InputError(f"formats={name}: the formats are {', '.join(FORMATS)}{near}")
    if to.exists():
        raise InputError(f"to={to} is there already; name a new folder")
    if "onnx" in formats:
        require_onnx()
    path = model_file(run)
    model = load_model(path, torch.device("cpu"))
    embedder = model.embedder
    content = {
        **saved_model(path, "cpu"),
        "architecture": asdict(model.architecture),  # without the path of foreign weights
        "reading": vars(reading_of(model, path)),
    }
    network = embedder.describe()
    network.pop("weights_origin")  # of the network as it was built again, not as it was trained
    size = [embedder.channels, embedder.size, embedder.size]
    told: dict[str, Any] = {
        "seen": origin(model.trained_on),
        "dim": embedder.embed_dim,
        "input": {"images": ["n", *size], "dtype": "uint8", "range": "0 to 255; the model normalises"},
        "output": {"embeddings": ["n", embedder.embed_dim], "dtype": "float32"},
        "network": network,
    }
    lines = [f"model      {path}, step {model.step}", f"trained    {told['seen']}"]
    try:
        with whole_folder(to) as folder:
            write_exported(folder, content, told)
            again = load_model(folder / CARD, torch.device("cpu")).embedder
            images = probes(embedder, 5)
            with torch.no_grad():
                if not torch.equal(again.embed(images), embedder.embed(images)):
                    raise InputError(f"{path}: its weights do not come back the same; nothing is exported")
            lines.append(f"written    {to / WEIGHTS} and {CARD}: loads back to the same bits")
            written = {}
            program = traced(embedder) if set(formats) & set(_FILES) else None
            for name, write in (("torch", write_torch), ("onnx", write_onnx)):
                if name in formats:
                    difference = write(program, folder / _FILES[name], embedder)
                    written[name] = _described(folder / _FILES[name], difference)
                    lines.append(f"written    {to / _FILES[name]}: {_told(difference)}")
            if written:
                write_exported(folder, content, {**told, "programs": written})
    except OSError as error:
        raise InputError(f"to={to}: cannot be written ({error.strerror or error})") from error
    shape = ", ".join(map(str, size))
    lines.append(f"takes      uint8 [n, {shape}], gives float32 [n, {embedder.embed_dim}]")
    print("\n".join(lines))
    print(f"use        python predict.py model={to} support=DIR query=DIR")
    return to


def _described(path: Path, difference: Difference) -> dict[str, Any]:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    largest, scale = difference
    return {"file": path.name, "sha256": sha256, "max_difference": largest, "scale": scale}


def _told(difference: Difference) -> str:
    return f"embeddings differ by at most {difference.largest:.2g} (they are up to {difference.scale:.3g})"
