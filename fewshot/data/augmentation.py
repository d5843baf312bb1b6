"""Random augmentation of a batch on its device, every image with parameters of its own.

    augment = Augmentation(crop=RandomCrop(0.1), flip=RandomFlip())
    images = augment(batch, generator)                # uint8 or float [n, c, h, w] -> float32 in [0, 1]
    pairs = augment.views(batch, generator, count=2)  # [2, n, c, h, w], the views independent

Steps run in the order in which they are named. Each draws from the given generator alone, and the
same number of values whatever the values are, so that a generator made from (seed, step) fixes the
batch. A generator on the images' device avoids a copy; one on the CPU gives the same parameters on
every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

from fewshot.data import color, geometry
from fewshot.errors import InputError
from fewshot.share import Share

_ATTEMPTS = 10  # boxes proposed for one image, as in torchvision


def to_float(images: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1]; floating images become float32."""
    return images.float() if images.is_floating_point() else images.float().div_(255)


class SharedDraws(Generator):
    """A generator that several processes have alike, each with a share of the batch.

    `uniform` and `integers` draw for the whole batch from it and keep what belongs to the share: an image's
    parameters are the same however many processes there are.

    Args:
        generator: whose numbers these are.
        share: of the batch.
    """

    share: Share

    def __new__(cls, generator: Generator, share: Share) -> SharedDraws:
        made = super().__new__(cls, device=generator.device)  # type: ignore[call-arg]
        made.set_state(generator.get_state())
        made.share = share
        return made


def _drawn(images: Tensor, generator: Generator, draw: Callable[[int], Tensor]) -> Tensor:
    """`draw(number of images)` for these images, on their device."""
    if not isinstance(generator, SharedDraws):
        return draw(len(images)).to(images.device, non_blocking=True)
    part, sizes = generator.share.part, generator.share.sizes
    if len(images) != part.stop - part.start:
        raise ValueError(f"{len(images)} images are not the share of {part.stop - part.start}")
    return draw(sum(sizes))[part].to(images.device, non_blocking=True)


def uniform(
    images: Tensor, generator: Generator, low: float = 0.0, high: float = 1.0, draws: tuple[int, ...] = ()
) -> Tensor:
    """Draws from [low, high) for each image, on its device: float32 [n, *draws]."""
    drawn = _drawn(
        images, generator, lambda n: torch.rand((n, *draws), generator=generator, device=generator.device)
    )
    return drawn * (high - low) + low


def integers(images: Tensor, generator: Generator, stop: int) -> Tensor:
    """One of 0 .. stop - 1 for each image, on its device: int64 [n]."""
    return _drawn(
        images, generator, lambda n: torch.randint(stop, (n,), generator=generator, device=generator.device)
    )


def random_boxes(
    images: Tensor, generator: Generator, scale: Sequence[float], ratio: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A box for each image, as torchvision draws them.

    Its share of the area is uniform in `scale`, log(width / height) uniform in log `ratio`. The first
    of ten proposals that fits is taken; if none does, the last one is cut to the image.

    Returns:
        top, left, height, width: int64 [n].
    """
    full_height, full_width = images.shape[-2:]
    area = uniform(images, generator, scale[0], scale[1], (_ATTEMPTS,)) * (full_height * full_width)
    shape = uniform(images, generator, math.log(ratio[0]), math.log(ratio[1]), (_ATTEMPTS,)).exp()
    heights = (area / shape).sqrt().round().long().clamp_(min=1)
    widths = (area * shape).sqrt().round().long().clamp_(min=1)
    fits = (heights <= full_height) & (widths <= full_width)
    fits[:, -1] = True
    chosen = fits.int().argmax(1, keepdim=True)
    height = heights.gather(1, chosen).squeeze(1).clamp_(max=full_height)
    width = widths.gather(1, chosen).squeeze(1).clamp_(max=full_width)
    top = (uniform(images, generator) * (full_height - height + 1)).long()
    left = (uniform(images, generator) * (full_width - width + 1)).long()
    return top, left, height, width


def _probability(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise InputError(f"{name} is a probability: give a number from 0 to 1, not {value}")
    return float(value)


def _range(name: str, bounds: Sequence[float], high: float = math.inf) -> tuple[float, float]:
    if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] <= high:
        raise InputError(f"{name} needs [low, high] with 0 < low <= high <= {high}, not {list(bounds)}")
    return float(bounds[0]), float(bounds[1])


class RandomCrop(nn.Module):
    """Pad all sides, then cut a window of the old size at a uniformly drawn place.

    Args:
        padding: share of the side, rounded to pixels: 0.1 is 8 px of 84; 0.125 is 4 px of 32.
        border: what lies outside the image: zero, edge or reflect.
    """

    def __init__(self, padding: float = 0.1, border: str = "zero") -> None:
        super().__init__()
        if not 0 <= padding < 1:
            raise InputError(
                f"RandomCrop padding is a share of the side (0.125 is 4 px of 32), not {padding}"
            )
        if border not in geometry.BORDERS:
            raise InputError(f"RandomCrop border is one of {', '.join(geometry.BORDERS)}, not {border!r}")
        self.padding, self.border = padding, border

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        height, width = images.shape[-2:]
        pixels = round(self.padding * min(height, width))
        top = integers(images, generator, 2 * pixels + 1)
        left = integers(images, generator, 2 * pixels + 1)
        return geometry.crop(geometry.pad(images, pixels, self.border), top, left, height, width)


class RandomResizedCrop(nn.Module):
    """Cut a random box and resample it to the old size (Szegedy et al. 2015); the images are square.

    Args:
        scale: least and greatest share of the area.
        ratio: least and greatest width / height.
    """

    def __init__(self, scale: Sequence[float] = (0.2, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3)) -> None:
        super().__init__()
        self.scale = _range("RandomResizedCrop scale", scale, 1.0)
        self.ratio = _range("RandomResizedCrop ratio", ratio)

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        boxes = random_boxes(images, generator, self.scale, self.ratio)
        return geometry.resized_crop(to_float(images), *boxes, size=images.shape[-1])


class RandomFlip(nn.Module):
    """Mirror left and right with a probability."""

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        self.probability = _probability("RandomFlip probability", probability)

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        return geometry.flip(images, uniform(images, generator) < self.probability)


class RandomQuarterTurn(nn.Module):
    """Turn by 0, 90, 180 or 270 degrees, all equally likely."""

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        return geometry.quarter_turn(images, integers(images, generator, 4))


class RandomErasing(nn.Module):
    """Blacken a random box with a probability (Zhong et al. 2020).

    Args:
        probability: of erasing at all.
        scale: least and greatest share of the area.
        ratio: least and greatest width / height.
    """

    def __init__(
        self,
        probability: float = 0.5,
        scale: Sequence[float] = (0.02, 1 / 3),
        ratio: Sequence[float] = (0.3, 1 / 0.3),
    ) -> None:
        super().__init__()
        self.probability = _probability("RandomErasing probability", probability)
        self.scale = _range("RandomErasing scale", scale, 1.0)
        self.ratio = _range("RandomErasing ratio", ratio)

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        top, left, height, width = random_boxes(images, generator, self.scale, self.ratio)
        chosen = uniform(images, generator) < self.probability
        return geometry.erase(images, top, left, height * chosen, width)


class ColorJitter(nn.Module):
    """Change brightness, contrast, saturation and hue, always in this order.

    torchvision draws one order for a call; a fixed one keeps a batch free of a decision on the host.

    Args:
        brightness, contrast, saturation: factors are uniform in [max(0, 1 - b), 1 + b].
        hue: the turn is uniform in [-hue, hue] of a circle; at most 0.5.
        probability: of changing an image at all.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.0,
        probability: float = 1.0,
    ) -> None:
        super().__init__()
        if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
            raise InputError("ColorJitter needs brightness, contrast, saturation >= 0 and hue from 0 to 0.5")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.probability = _probability("ColorJitter probability", probability)

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        images = to_float(images)
        chosen = uniform(images, generator) < self.probability
        for amount, adjust in (
            (self.brightness, color.adjust_brightness),
            (self.contrast, color.adjust_contrast),
            (self.saturation, color.adjust_saturation),
        ):
            if amount > 0:
                factor = uniform(images, generator, max(0.0, 1 - amount), 1 + amount)
                images = adjust(images, torch.where(chosen, factor, 1.0))
        if self.hue > 0:
            images = color.adjust_hue(images, uniform(images, generator, -self.hue, self.hue) * chosen)
        return images


class RandomGrayscale(nn.Module):
    """Take the colour away with a probability."""

    def __init__(self, probability: float = 0.2) -> None:
        super().__init__()
        self.probability = _probability("RandomGrayscale probability", probability)

    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        images = to_float(images)
        return color.to_gray(images, uniform(images, generator) < self.probability)


class Augmentation(nn.Module):
    """Named steps, run in the order in which they are given; without steps, only the conversion to float."""

    def __init__(self, **steps: nn.Module) -> None:
        super().__init__()
        self.steps = nn.ModuleDict(steps)

    @torch.no_grad()
    def forward(self, images: Tensor, generator: Generator) -> Tensor:
        """Augment a batch.

        Args:
            images: uint8, or float in [0, 1], [n, c, h, w].
            generator: the only source of randomness.

        Returns:
            float32 [n, c, h, w] in [0, 1], not normalised (the embedder does that).
        """
        # bfloat16 keeps 8 bits: resampling under autocast would be coarser than the images.
        with torch.autocast(images.device.type, enabled=False):
            for step in self.steps.values():
                images = step(images, generator)
            return to_float(images)

    def views(self, images: Tensor, generator: Generator, count: int = 2) -> Tensor:
        """`count` independent augmentations of every image: [n, c, h, w] -> float32 [count, n, c, h, w]."""
        augmented: Tensor = self(images.repeat(count, 1, 1, 1), generator)
        return augmented.view(count, *images.shape)
