"""Files become the pixels that training saw, in order, in threads."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewshot.data.decoding import square
from fewshot.data.reading import Reading
from fewshot.data.source import Record
from fewshot.data.sources.folder import ImageFolder


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    with io.BytesIO() as buffer:
        image.save(buffer, kind, **options)
        return buffer.getvalue()


def picture(mode: str, width: int = 40, height: int = 30) -> Image.Image:
    draw = np.random.default_rng(0)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
@pytest.mark.parametrize("options", [{}, {"channels": 1, "mean": (0.5,), "std": (0.5,)}, {"fit": "squash"}])
def test_equals_what_is_packed(mode: str, options: dict[str, object], tmp_path: Path) -> None:
    source = ImageFolder(size=24, resize=28, **options)  # type: ignore[arg-type]
    if mode == "I;16":
        data = encoded(Image.fromarray((np.arange(1200).reshape(30, 40) * 50).astype(np.uint16)))
    else:
        data = encoded(picture(mode), "TIFF" if mode == "CMYK" else "PNG")
    found = Reading.of(source).pixels(data, "name")
    assert found.shape == (source.channels, 24, 24)
    assert (found == square(Record("c", "n", data), source, tmp_path)).all()


def test_turned_as_the_camera_says() -> None:
    image = picture("RGB", 24, 24)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    reading = Reading(24)
    turned = reading.pixels(encoded(image, exif=exif), "name")
    assert (turned == np.rot90(reading.pixels(encoded(image), "name"), -1, (1, 2))).all()


def test_ink_is_light_whatever_the_paper_was() -> None:
    pixels = np.full((12, 12), 250, dtype=np.uint8)
    pixels[4:8, 4:8] = 10
    dark = Image.fromarray(pixels), Image.fromarray(255 - pixels)
    reading = Reading(12, 1, invert="light")
    first, second = (reading.pixels(encoded(image), "name") for image in dark)
    assert (first == second).all() and (first[0] == 255 - pixels).all()
    assert (replace(reading, invert="always").pixels(encoded(dark[1]), "n")[0] == pixels).all()
    assert (replace(reading, invert="never").pixels(encoded(dark[0]), "n")[0] == pixels).all()


@pytest.mark.parametrize("batch", [1, 5, 16, 100])
def test_batches_keep_the_order_and_say_what_is_wrong(batch: int, tmp_path: Path) -> None:
    paths = []
    for number in range(37):
        paths.append(tmp_path / f"{number}.png")
        if number == 10:
            paths[-1].write_bytes(b"no image")
        elif number != 20:  # is not there
            Image.new("L", (9, 7), number).save(paths[-1])
    batches = list(Reading(4, 1).batches(paths, batch))
    assert [len(each) for each in batches[:-1]] == [batch] * (37 // batch - (37 % batch == 0))
    files = [decoded for each in batches for decoded in each]
    values = [None if decoded.pixels is None else int(decoded.pixels.mean()) for decoded in files]
    assert values == [None if number in (10, 20) else number for number in range(37)]
    assert "10.png: cannot be decoded as an image" in files[10].problem
    assert "20.png: cannot be read (No such file" in files[20].problem


def test_foreign_weights_see_their_own_transform() -> None:
    import timm
    from timm.data import create_transform, resolve_data_config

    image = picture("RGB", 130, 70)
    model = timm.create_model("test_resnet")
    config = resolve_data_config({}, model=model)
    wanted = create_transform(**config, is_training=False)(image)
    resize = int(config["input_size"][1] / config["crop_pct"])
    reading = Reading(config["input_size"][1], 3, resize, bicubic=config["interpolation"] == "bicubic")
    pixels = torch.from_numpy(reading.pixels(encoded(image), "name")).float() / 255
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    torch.testing.assert_close((pixels - mean) / std, wanted)
