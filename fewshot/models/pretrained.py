"""Foreign weights: found on this machine, or one clear line within seconds when they cannot be had."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

import torch

from fewshot.errors import InputError

_SECONDS = 5.0
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")

# What a part of a timm tag says about the images behind the weights.
_DATA_OF_TAG = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-21k",
    "lvd142m": "LVD-142M, which contains ImageNet",
    "lvd1689m": "LVD-1689M, which contains ImageNet",
    "dino": "ImageNet-1k without labels",
    "mae": "ImageNet-1k without labels",
    # Of images and texts from the web; nobody can say which.
    "openai": "WebImageText of OpenAI, which is not public",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "laiona": "LAION-Aesthetic",
    "merged2b": "LAION-2B and COYO-700M",
    "datacompxl": "DataComp-1B",
    "datacomp1b": "DataComp-1B",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "metaclip": "MetaCLIP's images of the web",
    "webli": "WebLI of Google, which is not public",
    "yfcc15m": "YFCC-15M",
    "cc12m": "CC-12M",
}


def data_of_tag(tag: str) -> str:
    """The training images that the tag of timm weights names, e.g. "ImageNet-1k" for "a1_in1k"."""
    parts = tag.split("_")
    named = [data for part, data in _DATA_OF_TAG.items() if part in parts]
    return " and ".join(dict.fromkeys(named)) or f"images not named by the tag {tag!r}"


def channel_values(values: Sequence[float], in_channels: int) -> tuple[float, ...]:
    """Mean or std of RGB training for other channels: as they are, or their average if the count differs."""
    if in_channels == len(values):
        return tuple(values)
    return (sum(values) / len(values),) * in_channels


def local_file(path: str, key: str) -> Path:
    """`path` if it is a readable file; InputError naming the configuration key otherwise."""
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        raise InputError(f"{key}={path} is not a file; give the path of a saved state_dict")
    return file


def hub_file(repository: str, filename: str | None, key: str) -> Path | None:
    """The weights of a Hugging Face repository in the local cache, or None if they are to be downloaded.

    The download itself retries for most of a minute before it fails, and asks the network even about a file
    it has. So the cache is looked at first, and otherwise the hub is asked once whether it answers.

    Raises:
        InputError: not in the cache, and the hub does not answer.
    """
    import huggingface_hub

    for name in (filename,) if filename else _HUB_FILES:
        cached = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    try:
        huggingface_hub.HfApi().model_info(repository, timeout=_SECONDS)
    except Exception as error:  # its HTTP library's errors share no parent class
        raise _unreachable(repository, key, error) from error
    return None


def require_url(url: str, key: str) -> None:
    """Returns if torch.hub has the file of `url` in its cache, or the server answers; else InputError."""
    if (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name).is_file():
        return
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SECONDS).close()
    except OSError as error:
        raise _unreachable(url, key, error) from error


def _unreachable(place: str, key: str, error: Exception) -> InputError:
    return InputError(
        f"{key}: the weights of {place} are not on this machine and cannot be fetched "
        f"({type(error).__name__}); go online, or save them to a file and set backbone.weights=PATH"
    )
