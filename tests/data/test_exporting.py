"""Images of a packed set as files, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewshot.data.catalogue import open_image_set
from fewshot.data.exporting import export_images
from fewshot.data.labelling import find_support
from fewshot.data.reading import Reading
from fewshot.data.sources.glyphs import Glyphs
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
