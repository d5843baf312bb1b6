"""Colour changes against torchvision's float path and Pillow's 8-bit one, a factor for each image."""

from __future__ import annotations

import colorsys
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torchvision.transforms import functional as torchvision

from fewshot.data import color

FACTORS = torch.tensor([0.0, 0.4, 1.0, 1.3, 2.0])
TURNS = torch.tensor([-0.5, -0.17, 0.0, 0.1, 0.5])


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> Tensor:
    """uint8 [5, 3, 64, 64]: middles of five real photographs."""
    middles = []
    with zipfile.ZipFile(shared_data / "cars" / "stanford_cars_train_half.zip") as archive:
        for number in range(1, 6):
            picture = Image.open(io.BytesIO(archive.read(f"stanford_cars/cars_train/{number:05d}.jpg")))
            middles.append(np.asarray(picture.convert("RGB"))[:64, :64])
    return torch.from_numpy(np.stack(middles)).permute(0, 3, 1, 2)


@pytest.fixture
def noise() -> Tensor:
    """float [5, 3, 12, 12] with grey, black, white and saturated pixels among random ones."""
    images = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    images[:, :, 0] = 0.5
    images[:, :, 1] = 0.0
    images[:, :, 2] = 1.0
    images[:, 0, 3], images[:, 1:, 3] = 1.0, 0.0
    images[:, :2, 4], images[:, 2, 4] = 1.0, 0.0
    return images


CASES = [
    (color.adjust_brightness, torchvision.adjust_brightness, FACTORS),
    (color.adjust_contrast, torchvision.adjust_contrast, FACTORS),
    (color.adjust_saturation, torchvision.adjust_saturation, FACTORS),
    (color.adjust_hue, torchvision.adjust_hue, TURNS),
]


@pytest.mark.parametrize(("ours", "theirs", "factors"), CASES)
def test_each_image_has_its_own_factor_as_in_torchvision(
    noise: Tensor, ours: Callable[..., Tensor], theirs: Callable[..., Tensor], factors: Tensor
) -> None:
    expected = torch.stack([theirs(image, float(f)) for image, f in zip(noise, factors, strict=True)])
    # torchvision's red weight of grey is 0.2989 where the standard says 0.299.
    torch.testing.assert_close(ours(noise, factors), expected, atol=3e-4, rtol=0)


@pytest.mark.parametrize(("ours", "theirs", "factors"), CASES)
def test_photographs_agree_with_torchvision(
    photos: Tensor, ours: Callable[..., Tensor], theirs: Callable[..., Tensor], factors: Tensor
) -> None:
    images = photos.float() / 255
    expected = torch.stack([theirs(image, float(f)) for image, f in zip(images, factors, strict=True)])
    torch.testing.assert_close(ours(images, factors), expected, atol=3e-4, rtol=0)


@pytest.mark.parametrize(
    ("ours", "enhance"),
    [
        (color.adjust_brightness, ImageEnhance.Brightness),
        (color.adjust_contrast, ImageEnhance.Contrast),
        (color.adjust_saturation, ImageEnhance.Color),
    ],
)
def test_photographs_agree_with_pillow(
    photos: Tensor, ours: Callable[..., Tensor], enhance: Callable[..., ImageEnhance._Enhance]
) -> None:
    changed = ours(photos.float() / 255, FACTORS) * 255
    for image, photo, factor in zip(changed, photos, FACTORS, strict=True):
        expected = enhance(Image.fromarray(photo.permute(1, 2, 0).numpy())).enhance(float(factor))
        assert (
            np.abs(image.permute(1, 2, 0).numpy() - np.asarray(expected)).max() <= 2.01
        )  # 8-bit grey, rounded


def test_hue_is_that_of_colorsys(noise: Tensor) -> None:
    turned = color.adjust_hue(noise.double(), TURNS)
    for image, result, turn in zip(noise.double(), turned, TURNS, strict=True):
        for row in range(12):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[:, row, 3].tolist())
            expected = colorsys.hsv_to_rgb((hue + float(turn)) % 1.0, saturation, value)
            assert result[:, row, 3].tolist() == pytest.approx(expected, abs=1e-6)


def test_gray_is_pillows(photos: Tensor) -> None:
    gray = color.luma(photos.float())
    for image, photo in zip(gray, photos, strict=True):
        expected = np.asarray(Image.fromarray(photo.permute(1, 2, 0).numpy()).convert("L"))
        assert np.abs(image[0].numpy() - expected).max() <= 0.51


def test_to_gray_changes_the_chosen_images_only(noise: Tensor) -> None:
    chosen = torch.tensor([True, False, True, False, False])
    result = color.to_gray(noise, chosen)
    assert torch.equal(result[~chosen], noise[~chosen])
    assert torch.equal(result[chosen], color.luma(noise[chosen]).expand(-1, 3, -1, -1))


def test_one_channel_has_no_colour_to_change() -> None:
    images = torch.rand(5, 1, 6, 6)
    for adjust in (color.adjust_saturation, color.adjust_hue):
        assert torch.equal(adjust(images, TURNS), images)
    expected = torch.stack(
        [torchvision.adjust_contrast(i, float(f)) for i, f in zip(images, FACTORS, strict=True)]
    )
    torch.testing.assert_close(color.adjust_contrast(images, FACTORS), expected)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        color.luma(torch.rand(1, 4, 2, 2))


def test_neutral_factors_change_nothing(noise: Tensor) -> None:
    one = torch.ones(5)
    for adjust in (color.adjust_brightness, color.adjust_contrast, color.adjust_saturation):
        torch.testing.assert_close(adjust(noise, one), noise, atol=1e-7, rtol=0)
    torch.testing.assert_close(color.adjust_hue(noise, 0 * one), noise, atol=1e-6, rtol=0)
