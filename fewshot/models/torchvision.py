"""The ResNet family of torchvision as a backbone, stage by stage, with or without its ImageNet weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torchvision.models as zoo
from torch import Tensor, nn

from fewshot.errors import InputError
from fewshot.models.backbone import Backbone, Preprocessing
from fewshot.models.pretrained import channel_values, local_file, require_url
from fewshot.models.weights import load_weights, read_state


class GreyToRgb(nn.Module):
    """[n, 1, h, w] -> [n, 3, h, w]: weights made for RGB see a grey image as one."""

    def forward(self, images: Tensor) -> Tensor:
        return images.expand(-1, 3, -1, -1)


class TorchvisionBackbone(Backbone):
    """A torchvision ResNet, ResNeXt or wide ResNet without its classifier: stem, stage1, ..., stage4.

    ResNet-50 with ImageNet weights and `average_max` pooling is the network of Metrix. Other
    architectures come through `TimmBackbone`.

    Args:
        name: "resnet50", "resnet18", "resnext50_32x4d", "wide_resnet50_2", ...
        pretrained: load the published weights, from the local cache or the network.
        version: which of them, "IMAGENET1K_V1" or "IMAGENET1K_V2".
        weights: path of a local state_dict of that model (.pth or .safetensors); implies pretrained.
        in_channels: 3, or 1 for grey images.
        pool: see `Backbone`.

    Pretrained weights bring the mean and std of their own training.

    Raises:
        InputError: another model, version or channel count, a file that is missing or of another
            architecture, or no network.
    """

    def __init__(
        self,
        name: str = "resnet50",
        pretrained: bool = False,
        version: str = "IMAGENET1K_V1",
        weights: str | None = None,
        in_channels: int = 3,
        pool: str = "average",
    ) -> None:
        if in_channels not in (1, 3):
            raise InputError(
                f"torchvision backbones take 1 or 3 channels, not {in_channels}; use backbone=timm"
            )
        family = [each for each in zoo.list_models(zoo) if _module(each) == zoo.resnet.__name__]
        if name not in family:
            raise InputError(
                f"backbone.name={name} is no ResNet of torchvision ({', '.join(family)}); "
                "other models come through backbone=timm"
            )
        model: zoo.ResNet = zoo.get_model(name, weights=None)
        channels = model.fc.in_features
        model.fc = nn.Identity()
        published = _published(name, version)
        origin = "none"
        if weights is not None:
            file = local_file(weights, "backbone.weights")
            load_weights(model, _without_classifier(read_state(file)), place=f"the weights in {weights}")
            origin = f"unknown images (torchvision: {name}, file {file.name})"
        elif pretrained:
            require_url(published.url, "backbone.pretrained=true")
            state = published.get_state_dict(progress=False, check_hash=True)
            load_weights(model, _without_classifier(state), place=f"the weights of {published.url}")
            origin = f"ImageNet-1k (torchvision: {name}.{version})"
        grey: list[tuple[str, nn.Module]] = [("rgb", GreyToRgb())] if in_channels == 1 else []
        stem = [(part, getattr(model, part)) for part in ("conv1", "bn1", "relu", "maxpool")]
        stages: dict[str, nn.Module] = {"stem": nn.Sequential(OrderedDict(grey + stem))}
        stages |= {f"stage{i}": getattr(model, f"layer{i}") for i in range(1, 5)}
        super().__init__(stages, channels=channels, in_channels=in_channels, pool=pool)
        self.weights_origin = origin
        if origin != "none":
            preprocessing = published.transforms()
            self.normalisation = (
                channel_values(preprocessing.mean, in_channels),
                channel_values(preprocessing.std, in_channels),
            )
            self.preprocessing = Preprocessing(preprocessing.crop_size[0], preprocessing.resize_size[0])


def _module(name: str) -> str:
    return str(zoo.get_model_builder(name).__module__)


def _published(name: str, version: str) -> zoo.WeightsEnum:
    versions = zoo.get_model_weights(name)
    try:
        return versions[version]
    except KeyError:
        known = ", ".join(each.name for each in versions)
        raise InputError(f"backbone.version={version} is not published for {name}; choose {known}") from None


def _without_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith("fc.")}
