"""What pixels look like: brightness, contrast, saturation, hue and grey, with one factor for each image.

All functions are pure, take floating images [n, 3, h, w] in [0, 1] (where they say so, [n, 1, h, w]
too) and factors [n], and give images in [0, 1]. The definitions are those of Pillow's `ImageEnhance`
and torchvision, without rounding to 8 bits between the steps.
"""

from __future__ import annotations

import torch
from torch import Tensor


def luma(images: Tensor) -> Tensor:
    """Grey value 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Args:
        images: [n, 3, h, w], or [n, 1, h, w], which is its own grey value.

    Returns:
        [n, 1, h, w].
    """
    if images.shape[1] == 1:
        return images
    if images.shape[1] != 3:
        raise ValueError(f"colour needs images of 1 or 3 channels, these have {images.shape[1]}")
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def blend(images: Tensor, others: Tensor | float, factor: Tensor) -> Tensor:
    """factor images + (1 - factor) others, kept within [0, 1]; factor [n], others broadcast."""
    weight = factor[:, None, None, None].to(images.dtype)
    return (images * weight + others * (1 - weight)).clamp_(0, 1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black: 0 is black, 1 the image; 1 or 3 channels."""
    return blend(images, 0.0, factor)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey value of the image: 0 is flat, 1 the image; 1 or 3 channels."""
    return blend(images, luma(images).mean((-2, -1), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image: 0 is grey, 1 the image; grey images [n, 1, h, w] stay as they are."""
    return images if images.shape[1] == 1 else blend(images, luma(images), factor)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by `turn` of a full circle, in [-0.5, 0.5]; [n, 1, h, w] stay as they are.

    With V = max, C = max - min and the hue H in sixths of the circle, channel k of the result is
    V - C (1 - a_k), where a_red = |H - 3| - 1, a_green = 2 - |H - 2|, a_blue = 2 - |H - 4|, all
    kept within [0, 1].
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    # A grey pixel has no hue and any divisor will do: its chroma of zero removes the result.
    scale = 1 / chroma.clamp(min=torch.finfo(chroma.dtype).tiny)
    hue = torch.where(
        value == red,
        (green - blue) * scale,
        torch.where(value == green, (blue - red) * scale + 2, (red - green) * scale + 4),
    )
    hue += 6 * turn[:, None, None].to(images.dtype)
    hue -= 6 * (hue / 6).floor_()
    turned = torch.stack([(hue - 3).abs_() - 1, 2 - (hue - 2).abs_(), 2 - (hue - 4).abs_()], 1)
    return turned.clamp_(0, 1).sub_(1).mul_(chroma[:, None]).add_(value[:, None])


def to_gray(images: Tensor, gray: Tensor) -> Tensor:
    """Replace those images where bool [n] `gray` holds by their grey value in all channels."""
    return torch.where(gray[:, None, None, None], luma(images), images)
