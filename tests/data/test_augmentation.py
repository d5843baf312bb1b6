"""The sampling of augmentation parameters: for each image, from the generator alone, with the right law."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Generator, Tensor

from fewshot.data import augmentation
from fewshot.data.augmentation import (
    Augmentation,
    ColorJitter,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomGrayscale,
    RandomQuarterTurn,
    RandomResizedCrop,
)
from fewshot.errors import InputError

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = sorted(file.stem for file in (CONF / "augment").glob("*.yaml"))


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 64, channels: int = 3, side: int = 20) -> Tensor:
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=seeded(9))


def everything() -> Augmentation:
    return Augmentation(
        crop=RandomCrop(),
        flip=RandomFlip(),
        turn=RandomQuarterTurn(),
        box=RandomResizedCrop(),
        jitter=ColorJitter(hue=0.1, probability=0.8),
        gray=RandomGrayscale(),
        erase=RandomErasing(),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_config_builds_and_runs(name: str, channels: int) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        augment = instantiate(compose(overrides=[f"+augment={name}"]).augment)
    result = augment(batch(8, channels), seeded())
    assert result.dtype == torch.float32
    assert result.shape == (8, channels, 20, 20)
    assert result.min() >= 0 and result.max() <= 1


def test_no_step_is_a_plain_conversion() -> None:
    images = batch()
    assert torch.equal(Augmentation()(images, seeded()), images.float() / 255)
    halves = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    assert Augmentation()(halves, seeded()).dtype == torch.float32


def test_the_generator_alone_decides() -> None:
    images, augment = batch(), everything()
    first = augment(images, seeded(3))
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert torch.equal(augment(images, seeded(3)), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(augment(images, seeded(4)), first)


def test_the_pixels_do_not_change_what_is_drawn() -> None:
    augment, one, two = everything(), seeded(3), seeded(3)
    augment(batch(), one)
    augment(torch.zeros_like(batch()), two)
    assert torch.equal(one.get_state(), two.get_state())


@pytest.mark.parametrize(
    "step",
    [RandomCrop(), RandomFlip(), RandomQuarterTurn(), RandomResizedCrop(), ColorJitter(), RandomErasing(1.0)],
    ids=lambda step: type(step).__name__,
)
def test_images_of_a_batch_are_treated_differently(step: torch.nn.Module) -> None:
    same = batch(1).expand(64, -1, -1, -1)
    result = Augmentation(step=step)(same, seeded())
    assert len(result.unique(dim=0)) > 1


def test_crop_and_flip_stay_in_uint8() -> None:
    generator = seeded()
    assert RandomFlip()(RandomCrop()(batch(), generator), generator).dtype == torch.uint8


def test_random_crop_reaches_every_place_equally() -> None:
    side, pixels = 20, 2
    images = torch.zeros(5000, 1, side, side, dtype=torch.uint8)
    images[:, :, 10, 10] = 255  # a mark that no crop of 2 px can lose
    places = RandomCrop(0.1)(images, seeded()).flatten(1).argmax(1)
    offsets, counts = places.unique(return_counts=True)
    rows, columns = offsets // side - 10, offsets % side - 10
    assert len(offsets) == (2 * pixels + 1) ** 2
    assert (rows.abs().max(), columns.abs().max()) == (pixels, pixels)
    assert (counts - 200).abs().max() < 5 * 200**0.5


def test_probabilities_are_kept() -> None:
    images = batch(4000, 3, 4)
    flipped = (RandomFlip(0.3)(images, seeded()) != images).flatten(1).any(1).float().mean()
    assert abs(float(flipped) - 0.3) < 0.04
    grayed = RandomGrayscale(0.2)(images, seeded())
    assert abs(float((grayed[:, 0] == grayed[:, 1]).flatten(1).all(1).float().mean()) - 0.2) < 0.04
    jittered = ColorJitter(hue=0.2, probability=0.8)(images, seeded())
    changed = (jittered - images / 255).abs().flatten(1).amax(1) > 1e-5
    assert abs(float(changed.float().mean()) - 0.8) < 0.04


def test_random_boxes_follow_scale_and_ratio() -> None:
    images = torch.zeros(4000, 1, 200, 200)
    top, left, height, width = augmentation.random_boxes(images, seeded(), (0.2, 0.4), (0.5, 2.0))
    share = height * width / 200**2
    ratio = (width / height).log() / torch.tensor(2.0).log()
    assert share.min() > 0.19 and share.max() < 0.41
    assert abs(float(share.mean()) - 0.3) < 0.01
    assert ratio.abs().max() < 1.05 and abs(float(ratio.mean())) < 0.05
    assert top.min() >= 0 and (top + height).max() <= 200 and (left + width).max() <= 200
    assert left.min() == 0 and (left + width == 200).any()


def test_random_boxes_fit_even_if_no_proposal_does() -> None:
    images = torch.zeros(50, 1, 10, 200)
    top, _, height, width = augmentation.random_boxes(images, seeded(), (0.9, 1.0), (1.0, 1.0))
    assert (top + height).max() <= 10 and width.max() <= 200 and height.min() >= 1


def test_views_are_independent_and_the_first_axis() -> None:
    images = batch(16)
    views = everything().views(images, seeded(), count=3)
    assert views.shape == (3, 16, 3, 20, 20)
    assert not torch.equal(views[0], views[1])
    assert torch.equal(Augmentation().views(images, seeded())[1], images.float() / 255)


def test_images_stay_as_they_were() -> None:
    images = torch.rand(8, 3, 12, 12)
    kept = images.clone()
    everything()(images, seeded())
    assert torch.equal(images, kept)


def test_autocast_does_not_coarsen_the_images() -> None:
    images, augment = batch(), Augmentation(box=RandomResizedCrop())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = augment(images, seeded())
    assert torch.equal(inside, RandomResizedCrop()(images, seeded()))


@pytest.mark.parametrize(
    "build",
    [
        lambda: RandomCrop(4),
        lambda: RandomCrop(border="wrap"),
        lambda: RandomFlip(1.5),
        lambda: RandomResizedCrop(scale=[0.5, 0.2]),
        lambda: RandomResizedCrop(ratio=[1.0]),
        lambda: ColorJitter(hue=0.6),
    ],
)
def test_wrong_settings_are_one_clear_line(build: object) -> None:
    with pytest.raises(InputError) as error:
        build()  # type: ignore[operator]
    assert "\n" not in str(error.value)


@pytest.mark.gpu
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_on_cuda_nothing_waits_for_the_device(where: str) -> None:
    images, augment = batch().cuda(), everything()
    augment(images, torch.Generator(device=where).manual_seed(0))
    if where == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        augment(images, torch.Generator(device=where).manual_seed(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    if where == "cpu":
        on_cpu = augment(images.cpu(), seeded())
        torch.testing.assert_close(augment(images, seeded()).cpu(), on_cpu, atol=2e-3, rtol=0)
