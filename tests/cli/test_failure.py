"""What the file system refuses is a mistake of the user; what the program does wrong keeps its traceback."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fewshot.cli.failure import exit_status


def test_what_the_file_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    long = tmp_path / ("n" * 300)
    assert exit_status(lambda: long.stat().st_size) == 2
    assert capsys.readouterr().err == f"error: {long}: File name too long\n"

    def unreadable() -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "a\nb")

    assert exit_status(unreadable) == 2
    assert capsys.readouterr().err == "error: a b: Permission denied\n"


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "gone", "a"), OSError("of no file"), KeyError()]
)
def test_other_errors_keep_their_traceback(error: Exception) -> None:
    def fails() -> int:
        raise error

    with pytest.raises(type(error)):
        exit_status(fails)
