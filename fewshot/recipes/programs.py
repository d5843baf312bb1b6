"""An embedder as a program that runs without this package: torch.export and ONNX, each held against it."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.models.embedder import Embedder
from fewshot.randomness import generator

TOLERANCE = 1e-4
"""Largest difference to the embedder that is let pass, as a share of the largest entry of its embeddings."""

_BATCHES = (1, 5)
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


class Difference(NamedTuple):
    """The largest absolute difference of embeddings, and the largest absolute entry of the embedder's."""

    largest: float
    scale: float


class _Embed(nn.Module):
    """What evaluation sees, as the forward that export follows."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, images: Tensor) -> Tensor:
        return self.embedder.embed(images)


def traced(embedder: Embedder) -> Any:
    """The `torch.export` program of an embedder on the CPU, in evaluation mode.

    It maps images uint8 [n, channels, size, size], any n from 1 on, to what `Embedder.embed` makes of them,
    float32 [n, embed_dim]. Normalisation and head are in it.

    Raises:
        InputError: torch cannot follow the network; its own reason in one line.
    """
    images = probes(embedder, 2)
    with _quiet(), torch.no_grad():
        try:
            program = torch.export.export(
                _Embed(embedder), (images,), dynamic_shapes={"images": {0: torch.export.Dim("n", min=1)}}
            )
        except Exception as error:  # its exporters raise errors without a common parent
            raise _failed("torch", error) from error
    for node in program.graph.nodes:  # they name files of this machine
        node.meta.pop("stack_trace", None)
    return program


def write_torch(program: Any, path: Path, embedder: Embedder) -> Difference:
    """Save a traced program as .pt2, load it again and compare.

    Raises:
        InputError: torch cannot write it, or it computes something else.
    """
    with _quiet():
        try:
            torch.export.save(program, path)
            again = torch.export.load(path).module()
        except Exception as error:
            raise _failed("torch", error) from error
    return _compared("torch", embedder, again)


def require_onnx() -> None:
    """Refuse to begin without the packages that ONNX needs.

    Raises:
        InputError: one is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"formats=onnx needs {', '.join(missing)}, which is not installed; pip install 'fewshot[export]'"
        )


def write_onnx(program: Any, path: Path, embedder: Embedder) -> Difference:
    """Save a traced program as ONNX, run it with onnxruntime and compare.

    Raises:
        InputError: torch cannot translate it, the file cannot be run, or it computes something else.
    """
    with _quiet():
        try:
            made: Any = torch.onnx.export(
                program, dynamo=True, input_names=["images"], output_names=["embeddings"], verbose=False
            )
            made.save(path, external_data=False)
            run = _session(path)
        except Exception as error:
            raise _failed("onnx", error) from error
        return _compared("onnx", embedder, run)


def probes(embedder: Embedder, count: int) -> Tensor:
    """Images uint8 [count, channels, size, size] of every kind: noise, a ramp, blocks, white and black."""
    size, channels = embedder.size, embedder.channels
    draw = generator(0, "export", count)
    images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=draw)
    ramp = torch.linspace(0, 255, size)
    kinds = (
        images[0],
        (ramp[:, None] + ramp.flip(0)).div(2).byte().expand(channels, -1, -1),
        (images[0, :, ::8, ::8].repeat_interleave(8, 1).repeat_interleave(8, 2))[:, :size, :size],
        torch.full_like(images[0], 255),
        torch.zeros_like(images[0]),
    )
    return torch.stack([kinds[i % len(kinds)] for i in range(count)])


def _session(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _compared(name: str, embedder: Embedder, program: Callable[[Tensor], Tensor]) -> Difference:
    """Both on images of every kind, one at once and several at once.

    Raises:
        InputError: they differ by more than the tolerance.
    """
    largest = scale = 0.0
    for count in _BATCHES:
        images = probes(embedder, count)
        with torch.no_grad():
            wanted = embedder.embed(images)
            try:
                made = program(images)
            except Exception as error:
                raise _failed(name, error) from error
        if made.shape != wanted.shape or not bool(torch.isfinite(made).all()):
            raise InputError(f"formats={name}: the program makes {list(made.shape)} of {count} images")
        largest = max(largest, float((made - wanted).abs().amax()))
        scale = max(scale, float(wanted.abs().amax()))
    if largest > TOLERANCE * scale:
        raise InputError(
            f"formats={name}: embeddings of the program differ by up to {largest:.2g} (they are up to "
            f"{scale:.2g}), which is too much; nothing is exported, leave {name} out of formats"
        )
    return Difference(largest, scale)


def _failed(name: str, error: Exception) -> InputError:
    said = (str(error).strip().splitlines() or [""])[0][:200]
    return InputError(
        f"formats={name}: this model cannot be exported so ({type(error).__name__}: {said}); "
        f"nothing is exported, leave {name} out of formats"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' own advice, which is about their internals."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
