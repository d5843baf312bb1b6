from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from fewshot.data import decoding
from fewshot.data.decoding import decode, fit_square
from fewshot.errors import InputError


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_rgb_and_gray_come_back_unchanged() -> None:
    pixels = noise(5, 7)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(pixels)), "a"), pixels)
    gray = pixels[:, :, 0]
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(gray)), "a", 1), gray[:, :, None])
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(gray)), "a", 3), np.stack([gray] * 3, 2))


def test_colour_becomes_gray_by_luma() -> None:
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    assert decode(encoded(red), "a", 1)[0, 0, 0] == round(0.299 * 255)


def test_rotation_of_the_camera_is_applied() -> None:
    pixels = noise(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show the image turned by 90 degrees clockwise
    turned = decode(encoded(Image.fromarray(pixels), exif=exif), "a")
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))


def test_transparent_becomes_white_whatever_colour_lies_below() -> None:
    for mode, clear, opaque in (("RGBA", (9, 9, 9, 0), (9, 9, 9, 255)), ("LA", (9, 0), (9, 255))):
        image = Image.new(mode, (2, 1), clear)
        image.putpixel((1, 0), opaque)
        assert decode(encoded(image), "a")[0].tolist() == [[255, 255, 255], [9, 9, 9]]


def test_palette_with_a_transparent_entry() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert decode(encoded(image), "a")[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    assert decode(encoded(image, transparency=0), "a")[0].tolist() == [[255] * 3, [40, 50, 60]]


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    assert decode(encoded(Image.fromarray(values)), "a", 1)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_one_bit_and_cmyk() -> None:
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    assert decode(encoded(bits), "a", 1)[0, :, 0].tolist() == [0, 255]
    cyan = decode(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=100), "a")
    assert np.abs(cyan[4, 4].astype(int) - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5])
def test_truncated_files_are_named(kind: str, keep: float) -> None:
    data = encoded(Image.fromarray(noise(64, 64)), kind)
    with pytest.raises(InputError, match=r"^birds/one\.x"):
        decode(data[: int(len(data) * keep)], "birds/one.x")


def test_text_and_formats_that_start_programs_are_refused() -> None:
    for data in (b"<html>not found</html>", encoded(Image.new("RGB", (4, 4)), "EPS")):
        with pytest.raises(InputError, match="not in a known format"):
            decode(data, "a")


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="floating-point"):
        decode(encoded(Image.new("F", (2, 2), 0.5), "TIFF"), "a")


def test_decompression_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (100, 100)))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 9_999)
    with pytest.raises(InputError, match="100 x 100 pixels are too many"):
        decode(data, "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000)
    with pytest.raises(InputError, match="too many pixels"):
        decode(data, "a")


def test_a_long_line_is_not_enlarged_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    resized: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def watched(image: Image.Image, to: tuple[int, int], *rest: Any) -> Image.Image:
        resized.append(to)
        return resize(image, to, *rest)

    monkeypatch.setattr(Image.Image, "resize", watched)
    line = (np.arange(3001) + 6)[:, None, None] // 12  # 125 in the middle
    for pixels in (line, line.transpose(1, 0, 2)):
        fitted = fit_square(pixels.astype(np.uint8), 20, None, "cover")
        assert fitted.shape == (20, 20, 1) and set(fitted.ravel().tolist()) == {125}
    assert max(map(max, resized)) == 2000


@pytest.mark.parametrize(
    ("height", "width"), [(500, 375), (375, 500), (101, 100), (30, 84), (84, 200), (5, 3)]
)
@pytest.mark.parametrize("resize", [None, 92])
def test_cover_is_what_torchvision_does(height: int, width: int, resize: int | None) -> None:
    pixels = noise(height, width)
    expected = Compose([Resize(resize or 84), CenterCrop(84)])(Image.fromarray(pixels))
    np.testing.assert_array_equal(fit_square(pixels, 84, resize, "cover"), np.asarray(expected))


def test_squash_shows_the_whole_image() -> None:
    pixels = noise(40, 90)
    expected = Resize((84, 84))(Image.fromarray(pixels))
    np.testing.assert_array_equal(fit_square(pixels, 84, None, "squash"), np.asarray(expected))


def test_an_image_of_the_right_size_is_left_alone() -> None:
    pixels = noise(84, 84)
    assert fit_square(pixels, 84, 92, "cover") is pixels


def test_shrinking_averages() -> None:
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)[:, :, None]
    small = fit_square(board, 32, None, "cover")
    assert small.shape == (32, 32, 1)
    assert np.abs(small.astype(int) - 127).max() <= 2
