"""What a stranger's run says in YAML and JSON is read or refused in a line, whatever it would grow to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewshot.data.pack_format import read_manifest
from fewshot.errors import InputError
from fewshot.recipes.prediction_rows import read_state
from fewshot.recipes.run_record import load_config, read_record
from fewshot.recipes.saved_result import read_values

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recipe: &a [x, x]\ndata: [*a, *a]\n", "holds an alias"),  # 30 of such lines are 2^30 values
        ("recipe: x\ndata: " + "[" * 5_000, "cannot be read"),
        ("recipe: x\ndata: 2001-99-99x: y\n", "cannot be read"),
        ("[1]", "is no saved config"),
        ("recipe: x\n", "is not the config of a run"),
    ],
    ids=["alias", "deep", "damaged", "list", "other"],
)
def test_a_config_is_what_it_says(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        load_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_deep_json_is_damage(tmp_path: Path) -> None:
    for name in ("run.json", "result.json", "state.json", "manifest.json"):
        (tmp_path / name).write_text(DEEP)
    assert read_record(tmp_path) == {}
    for read in (read_values, read_state, read_manifest):
        with pytest.raises(InputError):
            read(tmp_path)
