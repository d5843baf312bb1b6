"""Any model of timm as a backbone, from scratch, with its published weights, or with a local file."""

from __future__ import annotations

import copy
import math
import textwrap
from pathlib import Path
from typing import Any

import timm
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.models.backbone import Backbone, Preprocessing, output_shape
from fewshot.models.pretrained import channel_values, data_of_tag, hub_file, local_file, require_url
from fewshot.suggestion import did_you_mean


class TimmFeatures(nn.Module):
    """A timm model as one stage: images -> its map, or [n, channels, 1, 1] where it makes tokens."""

    def __init__(self, model: nn.Module, resize: int | None) -> None:
        super().__init__()
        self.model = model
        self.resize = resize
        self.channels_at_end = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        if self.resize is not None and images.shape[2:] != (self.resize, self.resize):
            images = F.interpolate(images, (self.resize, self.resize), mode="bicubic", antialias=True)
        features: Tensor = self.model(images)
        if features.ndim == 2:
            return features[:, :, None, None]
        return features.permute(0, 3, 1, 2) if self.channels_at_end else features

    def extra_repr(self) -> str:
        return f"resize={self.resize}"


class TimmBackbone(Backbone):
    """A timm model without its classifier, as the single stage `features`.

    Convolutional and hierarchical models give the map before their global pool; models whose last layer makes
    tokens (ViT, DINO, ...) give their own pooled vector as a map of one position.

    Args:
        name: a timm model, with or without a tag: "resnet50", "vit_small_patch16_224.dino".
        pretrained: load timm's published weights, from the local cache or the network.
        weights: path of a local state_dict of that model (.pth or .safetensors); implies pretrained.
        resize: side in pixels to which images are brought before the model (bicubic); None: the model's own
            where its architecture fixes one, else as they come. A model of fixed size is built for this one.
        in_channels: of the images; weights for RGB are adapted by timm.
        pool: see `Backbone`.

    Pretrained weights bring the mean and std of their own training.

    Raises:
        InputError: unknown name or tag, no such file, a file of another architecture, or no network.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        weights: str | None = None,
        resize: int | None = None,
        in_channels: int = 3,
        pool: str = "average",
    ) -> None:
        config = _published(name)
        options: dict[str, Any] = {"num_classes": 0, "in_chans": in_channels}
        if config.fixed_input_size:
            resize = resize or config.input_size[1]
            if resize != config.input_size[1]:
                options["img_size"] = resize
        origin = "none"
        if weights is not None:
            options |= _from_file(weights, config)
            # Only a name with its tag says which weights the file is meant to hold.
            said = f"{data_of_tag(config.tag)}, by its name" if "." in name else "unknown images"
            origin = f"{said} (timm: {name}, file {Path(weights).name})"
        elif pretrained:
            options |= _from_cache_or_network(name, config)
            origin = f"{data_of_tag(config.tag)} (timm: {name.split('.')[0]}.{config.tag})"
        try:
            model: Any = timm.create_model(name, **options)
        except (RuntimeError, OSError, ValueError, AssertionError, TypeError) as error:
            # A mismatch of keys comes as a title and one line a key.
            reason = textwrap.shorten(" ".join(str(error).split("\n")[:2]), 240) or type(error).__name__
            source = "" if weights is None else f" from backbone.weights={weights}"
            raise InputError(f"timm cannot build backbone.name={name}{source}: {reason}") from error
        side = resize or config.input_size[1]
        model.reset_classifier(0)
        try:
            if _can_give_maps(model, (2, in_channels, side, side)):
                model.reset_classifier(0, "")
            features = TimmFeatures(model, resize)
            channels = output_shape(features, (2, in_channels, side, side))[1]
        except RuntimeError as error:
            reason = str(error).split("\n")[0]
            raise InputError(f"backbone.name={name} cannot be a backbone here: {reason}") from error
        super().__init__({"features": features}, channels=channels, in_channels=in_channels, pool=pool)
        self.weights_origin = origin
        if origin != "none":
            self.normalisation = (
                channel_values(config.mean, in_channels),
                channel_values(config.std, in_channels),
            )
            fits = {"center": "cover", "squash": "squash"}  # a few models pad with a border instead
            if config.crop_mode in fits:
                resize_to, bicubic = math.floor(side / config.crop_pct), config.interpolation == "bicubic"
                self.preprocessing = Preprocessing(side, resize_to, fits[config.crop_mode], bicubic)


def _published(name: str) -> Any:
    """timm's own record of the model and its weights: sizes, mean, std, places."""
    if not timm.is_model(name.split(".")[0]):
        raise InputError(
            f"backbone.name={name} is not a model of timm{did_you_mean(name, timm.list_models())}"
        )
    try:
        return timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = ", ".join(timm.list_pretrained(name.split(".")[0] + ".*"))
        raise InputError(
            f"backbone.name={name} has an unknown tag; weights are published as {tags}"
        ) from error


def _from_cache_or_network(name: str, config: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"pretrained": True}
    if config.hf_hub_id:
        cached = hub_file(config.hf_hub_id, config.hf_hub_filename, "backbone.pretrained=true")
        if cached is not None:
            options["pretrained_cfg_overlay"] = {"file": str(cached)}
    elif config.url:
        require_url(config.url, "backbone.pretrained=true")
    else:
        raise InputError(
            f"timm has no published weights for backbone.name={name}; set backbone.pretrained=false"
        )
    return options


def _from_file(weights: str, config: Any) -> dict[str, Any]:
    """Options that make timm load the file strictly, whether it was saved with a classifier or without.

    Asked for another number of classes than it believes the file to have, timm drops the classifier and with
    it every check of the keys: a file of some other network would leave the weights random without a word.
    """
    file = local_file(weights, "backbone.weights")
    try:
        saved = timm.models.load_state_dict(str(file))
    except Exception as error:  # whatever the unpickler meets in a damaged or foreign file
        raise InputError(
            f"backbone.weights={weights} cannot be read as a state_dict: {type(error).__name__}"
        ) from error
    names = (config.classifier,) if isinstance(config.classifier, str) else config.classifier or ()
    found = [saved[f"{name}.weight"].shape[0] for name in names if f"{name}.weight" in saved]
    classes = found[0] if found else 0
    return {
        "pretrained": True,
        "num_classes": classes,
        "pretrained_cfg_overlay": {"file": str(file), "num_classes": classes, "custom_load": False},
    }


def _can_give_maps(model: nn.Module, images: tuple[int, ...]) -> bool:
    """Whether the model without its global pool ends in a map; tried on a copy that holds no numbers."""
    probe: Any = copy.deepcopy(model).to("meta")
    try:
        probe.reset_classifier(0, "")
    except AssertionError:  # a few token models refuse to go without
        return False
    return len(output_shape(probe, images)) == 4
