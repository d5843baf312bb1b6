"""The one exception that a person who runs the program can cause and mend."""

from __future__ import annotations


class InputError(Exception):
    """A mistake in what the user gave: a key, a file, a folder, a value.

    Its text is one line that says what is wrong, where, and what to do. The command line prints
    it without a traceback and ends with status 2.
    """
