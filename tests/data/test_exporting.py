"""Images of a packed set as files, and back."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewshot.data.catalogue import open_image_set
from fewshot.data.exporting import export_images
from fewshot.data.labelling import find_support
from fewshot.data.reading import Reading
from fewshot.data.sources.glyphs import Glyphs
from fewshot.data.sources.tieredimagenet import TieredImageNet
from fewshot.errors import InputError


def test_what_is_exported_is_read_as_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    source = Glyphs(size=16, images_per_class=3)
    folder = tmp_path / "out"
    said = export_images(source, folder, classes=4, shots=2, queries=1, seed=0)
    assert said.startswith("4 test classes of glyphs with 2 images each")
    found = find_support(str(folder / "support"))
    assert len(set(found.classes)) == 4 and len(found.paths) == 8
    packed = open_image_set(source)
    test = source.class_split(packed.class_names).test
    assert set(found.classes) <= set(test)
    (batch,) = Reading.of(source).batches(found.paths, 8)
    for path, name, decoded in zip(found.paths, found.classes, batch, strict=True):
        row = packed.images_of_class.rows[packed.class_indices([name])[0], int(path.stem)]
        assert decoded.pixels is not None and (decoded.pixels == packed.images[row].numpy()).all()
    assert len(list((folder / "query").rglob("*.png"))) == 4
    with pytest.raises(InputError, match="not empty"):
        export_images(source, folder, classes=4, shots=2, queries=1, seed=0)
    with pytest.raises(InputError, match="test classes of 4 images, not 4"):
        export_images(source, tmp_path / "more", classes=4, shots=2, queries=2, seed=0)


def test_nothing_is_written_outside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class is called what the owner's file calls it, and that may be a stranger's."""
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path / "data"))
    owner = tmp_path / "data" / "tieredimagenet"
    owner.mkdir(parents=True)
    with io.BytesIO() as buffer:
        Image.new("RGB", (8, 8)).save(buffer, "PNG")
        image = np.frombuffer(buffer.getvalue(), np.uint8)
    (owner / "test_images_png.pkl").write_bytes(pickle.dumps([image, image]))
    labels = {"label_specific": [0, 0], "label_specific_str": ["../../../../evil"]}
    (owner / "test_labels.pkl").write_bytes(pickle.dumps(labels))
    with pytest.raises(InputError, match=r"evil', which would be written outside .*out"):
        export_images(TieredImageNet(size=8), tmp_path / "out", classes=1, shots=1, queries=1, seed=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
