"""Crops, flips, turns, resizing and erasing against slicing, torch and Pillow, one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from fewshot.data import geometry


def images(
    count: int = 6, channels: int = 3, height: int = 17, width: int = 13, seed: int = 0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("border", "mode"), [("zero", "constant"), ("edge", "edge"), ("reflect", "reflect")])
@pytest.mark.parametrize("padding", [0, 1, 5])
def test_pad_is_numpys(border: str, mode: str, padding: int) -> None:
    batch = images()
    expected = np.pad(batch.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)), mode=mode)
    padded = geometry.pad(batch, padding, border)
    assert padded.dtype == torch.uint8
    assert np.array_equal(padded.numpy(), expected)


def test_pad_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="border"):
        geometry.pad(images(), 1, "wrap")
    with pytest.raises(ValueError, match="below the side"):
        geometry.pad(images(), 13, "reflect")


@settings(deadline=None, max_examples=40)
@given(data=st.data(), channels=st.integers(1, 4), height=st.integers(1, 9), width=st.integers(1, 9))
def test_crop_is_slicing(data: st.DataObject, channels: int, height: int, width: int) -> None:
    batch = images(5, channels, height, width)
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    top = torch.tensor(data.draw(st.lists(st.integers(0, height - rows), min_size=5, max_size=5)))
    left = torch.tensor(data.draw(st.lists(st.integers(0, width - columns), min_size=5, max_size=5)))
    cropped = geometry.crop(batch, top, left, rows, columns)
    for i in range(5):
        assert torch.equal(cropped[i], batch[i, :, top[i] : top[i] + rows, left[i] : left[i] + columns])


def test_crop_takes_any_memory_layout() -> None:
    batch = images(4, 3, 8, 8)
    top, left = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 0, 1, 2])
    expected = geometry.crop(batch, top, left, 5, 5)
    assert torch.equal(
        geometry.crop(batch.contiguous(memory_format=torch.channels_last), top, left, 5, 5), expected
    )
    assert torch.equal(geometry.crop(batch.flip(0), top.flip(0), left.flip(0), 5, 5), expected.flip(0))


def test_crop_refuses_a_window_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        geometry.crop(images(1), torch.tensor([0]), torch.tensor([0]), 18, 3)


def test_flip_mirrors_the_chosen_images_only() -> None:
    batch = images(4)
    flipped = geometry.flip(batch, torch.tensor([True, False, True, False]))
    for i in range(4):
        assert torch.equal(flipped[i], batch[i].flip(-1) if i % 2 == 0 else batch[i])


def test_quarter_turns_are_counter_clockwise() -> None:
    batch = images(5, 3, 6, 6)
    turned = geometry.quarter_turn(batch, torch.tensor([0, 1, 2, 3, 1]))
    for i, turns in enumerate([0, 1, 2, 3, 1]):
        picture = Image.fromarray(batch[i].permute(1, 2, 0).numpy()).rotate(90 * turns)
        assert np.array_equal(turned[i].permute(1, 2, 0).numpy(), np.asarray(picture))
    with pytest.raises(ValueError, match="square"):
        geometry.quarter_turn(images(1), torch.tensor([1]))


@pytest.mark.parametrize("size", [4, 11, 24])
def test_resized_crop_is_interpolation_of_the_slice(size: int) -> None:
    batch = images(4, 3, 20, 16).double() / 255
    top, left = torch.tensor([0, 3, 7, 19]), torch.tensor([0, 5, 0, 2])
    height, width = torch.tensor([20, 8, 13, 1]), torch.tensor([16, 4, 1, 9])
    resized = geometry.resized_crop(batch, top, left, height, width, size)
    for i in range(4):
        box = batch[i : i + 1, :, top[i] : top[i] + height[i], left[i] : left[i] + width[i]]
        expected = functional.interpolate(box, (size, size), mode="bilinear", antialias=True)
        torch.testing.assert_close(resized[i : i + 1], expected, atol=2e-6, rtol=0)


def test_resized_crop_is_pillows_to_one_grey_level() -> None:
    batch = images(1, 3, 40, 40)
    box = (5, 2, 35, 38)  # left, upper, right, lower
    picture = Image.fromarray(batch[0].permute(1, 2, 0).numpy())
    expected = np.asarray(picture.crop(box).resize((28, 28), Image.Resampling.BILINEAR)).astype(float)
    one = [torch.tensor([value]) for value in (2, 5, 36, 30)]
    resized = geometry.resized_crop(batch.float(), *one, size=28)[0].permute(1, 2, 0).numpy()
    assert np.abs(resized - expected).max() <= 1.0


def test_resize_matrix_is_the_identity_at_the_same_size() -> None:
    matrix = geometry.resize_matrix(torch.tensor([0]), torch.tensor([9]), 9, 9)
    torch.testing.assert_close(matrix[0], torch.eye(9))


def test_erase_fills_the_box_alone() -> None:
    batch = images(3, 3, 8, 8).clamp(min=1)
    top, left = torch.tensor([1, 0, 5]), torch.tensor([2, 0, 5])
    height, width = torch.tensor([3, 0, 3]), torch.tensor([4, 8, 3])
    erased = geometry.erase(batch, top, left, height, width)
    for i in range(3):
        expected = batch[i].clone()
        expected[:, top[i] : top[i] + height[i], left[i] : left[i] + width[i]] = 0
        assert torch.equal(erased[i], expected)
