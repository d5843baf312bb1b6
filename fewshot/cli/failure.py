"""How a program ends: the exit status, and what stands on stderr."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

from fewshot.cli.warning_lines import warning_lines
from fewshot.errors import InputError
from fewshot.processes import launched

FAILED = 1
USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
_BY_THE_FILE_SYSTEM = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS, errno.ENOSPC)


def exit_status(command: Callable[[], int]) -> int:
    """Run a command; an InputError becomes one line, any other error keeps its traceback.

    What the file system refuses (a folder that may not be read, a name too long) is a mistake of the user,
    wherever it shows. Of several processes the first that fails tells: the others make the same mistake, or
    miss it.

    Returns:
        What the command returned; 2 after a mistake of the user, 130 after Ctrl-C, 141 when the reader of
        our output has gone (as a shell reports SIGPIPE), 1 after any other error that another process tells.
    """
    try:
        with warning_lines():
            status = command()
        sys.stdout.flush()
        return status
    except InputError as error:
        if _tells():
            report(error)
        return USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        refusal = _refusal(error)
        if _tells():
            if refusal is None:
                raise
            report(refusal)
        return FAILED if refusal is None else USAGE


def _refusal(error: Exception) -> InputError | None:
    """What the file system would not do; None of any other error."""
    if isinstance(error, OSError) and error.errno in _BY_THE_FILE_SYSTEM and error.filename is not None:
        return InputError(f"{error.filename}: {error.strerror}")
    return None


def _tells() -> bool:
    """Whether this process is the one that tells what went wrong."""
    try:
        if launched().count == 1:
            return True
    except InputError:
        return True  # each process's own environment is wrong
    from fewshot.distributed import first_to_fail

    return first_to_fail()


def report(error: InputError) -> None:
    """Print `error: ...` in one line; with FEWSHOT_TRACEBACK=1 the traceback before it."""
    if os.environ.get("FEWSHOT_TRACEBACK", "0") not in ("", "0"):
        traceback.print_exception(error)
    print(f"error: {one_line(str(error))}", file=sys.stderr)


def one_line(text: str) -> str:
    """The text without line breaks and without characters that a terminal would obey."""
    flat = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)
