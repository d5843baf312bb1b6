from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from fewshot.data import glyph_drawings, glyph_outlines, glyph_scripts, look_alikes
from fewshot.data.glyph_scripts import SCRIPTS, Character
from fewshot.data.sources.glyphs import Glyphs
from fewshot.errors import InputError

PLACE = Path("nowhere")


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, list[str]]:
    """Four drawings of every class: uint8 [classes, 4, 28, 28] and the class names."""
    records = list(Glyphs(images_per_class=4).records(PLACE))
    images = np.stack([np.asarray(record.image)[:, :, 0] for record in records])
    return images.reshape(-1, 4, 28, 28), [record.class_name for record in records[::4]]


def test_there_are_enough_classes_and_the_split_has_them_all(drawn: tuple[np.ndarray, list[str]]) -> None:
    images, names = drawn
    assert len(names) == len(set(names)) == len(images) >= 800
    split = Glyphs().class_split(names)
    assert sorted(split.train + split.val + split.test) == sorted(names)
    assert min(len(split.train), len(split.val), len(split.test)) >= 100
    assert "U+0416 CYRILLIC CAPITAL LETTER ZHE" in split.test
    assert "U+0041 LATIN CAPITAL LETTER A" in split.train


def test_records_have_names_and_the_shape_that_packing_needs() -> None:
    first = next(Glyphs(size=32).records(PLACE))
    assert first.class_name == "U+0041 LATIN CAPITAL LETTER A"
    assert first.name == "0041/000"
    assert isinstance(first.image, np.ndarray)
    assert (first.image.dtype, first.image.shape) == (np.dtype(np.uint8), (32, 32, 1))


def test_one_seed_gives_one_set_of_bits() -> None:
    chosen = look_alikes.glyph_classes()[100:110]

    def draw(per_character: int, seed: int) -> np.ndarray:
        return np.stack([images for _, images in glyph_drawings.drawings(chosen, 28, per_character, seed)])

    first = draw(5, 0)
    assert np.array_equal(draw(5, 0), first)
    assert np.array_equal(draw(3, 0), first[:, :3])
    assert not np.array_equal(draw(5, 1), first)
    backwards = [images for _, images in glyph_drawings.drawings(chosen[::-1], 28, 5, 0)]
    assert np.array_equal(np.stack(backwards[::-1]), first)


def test_every_character_leaves_ink_and_no_two_drawings_are_the_same(
    drawn: tuple[np.ndarray, list[str]],
) -> None:
    images, _ = drawn
    assert (images > 80).sum((2, 3)).min() >= 10
    assert (images[:, 0] != images[:, 1]).any((1, 2)).all()
    corners = images[:, :, :2].reshape(len(images) * 4, -1)  # paper: no two sheets have one grain
    assert len(np.unique(corners, axis=0)) == len(corners)


def test_classes_can_be_told_apart_but_not_by_their_pixels(drawn: tuple[np.ndarray, list[str]]) -> None:
    """Nearest neighbour on raw pixels, 5-way 1-shot: above chance (20 %), far below what is learned"""
    images, _ = drawn
    rng = np.random.default_rng(0)
    pixels = images.reshape(len(images), 4, -1).astype(float)
    correct = []
    for _ in range(200):
        support, query = pixels[classes := rng.choice(len(images), 5, replace=False), 0], pixels[classes, 1]
        distance = ((query[:, None] - support[None]) ** 2).sum(-1)
        correct.append((distance.argmin(1) == np.arange(5)).mean())
    assert 0.35 < np.mean(correct) < 0.7


def test_an_outline_that_scripts_share_is_one_class() -> None:
    codes = {character.code for character in look_alikes.glyph_classes()}
    shared = [  # Latin, Greek, Cyrillic
        {0x41, 0x391, 0x410},  # A
        {0x42, 0x392, 0x412},  # B
        {0x48, 0x397, 0x41D},  # H
        {0x58, 0x3A7, 0x425},  # X
        {0x50, 0x3A1, 0x420},  # P
        {0x53, 0x73, 0x405, 0x455},  # S, capital and small
        {0x4F, 0x6F, 0x30, 0x39F, 0x3BF, 0x41E, 0x43E},  # O, capital and small, and zero
    ]
    for outline in shared:
        assert outline & codes == {min(outline - {0x30})}
    assert {0x416, 0x3A8, 0x5E9} <= codes  # Zhe, Psi, Shin


def test_no_outline_is_in_two_splits() -> None:
    """Correlation of tightly cut outlines, computed anew and one pair of splits at a time."""
    kept = look_alikes.glyph_classes()
    rasters = look_alikes._rasters(kept).reshape(len(kept), -1).astype(float)
    rasters -= rasters.mean(1, keepdims=True)
    rasters /= np.linalg.norm(rasters, axis=1, keepdims=True)
    parts = {part: [c.script in scripts for c in kept] for part, scripts in SCRIPTS.items()}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert (rasters[parts[one]] @ rasters[parts[other]].T).max() < 0.95


def test_fonts_are_asked_only_for_characters_they_have() -> None:
    box = glyph_outlines.rasterise([0x10FFFF], "DejaVuSans")[0]  # no such character: an empty box
    for font in glyph_scripts.FONTS:
        codes = [c.code for c in glyph_scripts.characters() if font in c.fonts][::25]
        rasters = glyph_outlines.rasterise(codes, font)
        assert rasters.any((1, 2)).all()
        assert not (rasters == box).all((1, 2)).any()


def test_rasters_are_centred_and_of_one_extent() -> None:
    for raster in glyph_outlines.rasterise([ord(c) for c in "AxЖi"], "DejaVuSans"):
        rows, columns = np.flatnonzero(raster.any(1)), np.flatnonzero(raster.any(0))
        sides = (np.ptp(rows) + 1, np.ptp(columns) + 1)
        assert abs(max(sides) - glyph_outlines.EXTENT) <= 1
        assert abs(rows[0] + rows[-1] + 1 - 64) <= 1 and abs(columns[0] + columns[-1] + 1 - 64) <= 1


def test_distances_are_euclidean_up_to_the_reach() -> None:
    points = torch.rand(6, 30, 24, generator=torch.Generator().manual_seed(0)) < 0.02
    points[0], points[1, 3, 4] = False, True
    found = glyph_outlines.distance_to(points)
    for ours, mask in zip(found[1:], points[1:], strict=True):
        exact = np.minimum(distance_transform_edt(~mask.numpy()), glyph_outlines.REACH)
        np.testing.assert_allclose(ours.numpy(), exact, atol=1e-5)
    assert (found[0] == glyph_outlines.REACH).all()


def test_the_distance_field_changes_sign_at_the_outline() -> None:
    raster = np.zeros((1, 64, 64), dtype=np.uint8)
    raster[0, 20:40, 30] = 255
    field = glyph_outlines.distance_fields(raster)[0]
    assert field[30, 29:32].tolist() == [-0.5, 0.5, -0.5]
    assert field[30, 27] == pytest.approx(-2.5)


def test_a_drawing_without_chance_is_the_outline() -> None:
    """Numbers that mean no warp, no noise, full ink: the picture is the raster made smaller."""
    outlines = glyph_outlines.distance_fields(glyph_outlines.rasterise([ord("R")], "DejaVuSans"))
    random = torch.full((1, glyph_drawings.DRAWS), 0.5)
    low, high = glyph_drawings.SCALE
    random[:, 3:5] = (1 - low) / (high - low)
    random[:, 7] = -glyph_drawings.STROKE[0] / (glyph_drawings.STROKE[1] - glyph_drawings.STROKE[0])
    random[:, 8], random[:, 9] = 0, 1
    paper = torch.full((1, 64, 64), 0.5)
    drawing = glyph_drawings.draw(outlines, random, paper)[0]
    assert ((drawing >= 128) == (outlines[0] > 0)).float().mean() > 0.995
    assert drawing.max() == 255 and drawing.min() == 0


def test_uniform_numbers_are_uniform_and_independent_of_company() -> None:
    index = np.arange(2000)
    numbers = glyph_drawings.uniforms(0, "test", index, 7)
    assert numbers.shape == (2000, 7) and numbers.dtype == np.float32
    assert numbers.min() >= 0 and numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.01 and abs(numbers.std() - 12**-0.5) < 0.01
    assert np.array_equal(glyph_drawings.uniforms(0, "test", index[7:9], 7), numbers[7:9])


def test_look_alikes_keep_the_first() -> None:
    codes = [0x4F, 0x41, 0x6F, 0x410, 0x39F, 0x42, 0x20]  # O, A, o, Cyrillic A, Omicron, B, space
    found = [Character(code, "X", ("DejaVuSans",)) for code in codes]
    assert [character.code for character in look_alikes.distinct(found)] == [0x4F, 0x41, 0x42]


def test_what_changes_the_pixels_is_in_the_key() -> None:
    keys = {Glyphs().key, Glyphs(size=32).key, Glyphs(images_per_class=5).key, Glyphs(drawing_seed=1).key}
    assert len(keys) == 4
    assert f"recipe{glyph_drawings.RECIPE}" in Glyphs().key
    for wrong in ({"images_per_class": 0}, {"size": 4}, {"split": "random"}):
        with pytest.raises(InputError):
            Glyphs(**wrong)  # type: ignore[arg-type]
