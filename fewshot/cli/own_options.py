"""The options of a verb that names files: KEY=VALUE or --KEY VALUE, among words that are not options."""

from __future__ import annotations

from collections.abc import Sequence

from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean


def own_options(verb: str, words: Sequence[str], known: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Sort the words of a verb.

    A name with `=` in it that exists as an option is one; folders of results have `=` in their names too.

    Returns:
        the other words, and the options by key.

    Raises:
        InputError: an option that does not exist, has no value or comes twice.
    """
    rest: list[str] = []
    options: dict[str, str] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if key not in known:
            if word.startswith("-"):
                raise InputError(
                    f"{verb}: there is no option {word}; {_listed(known)}{did_you_mean(key, known)}"
                )
            rest.append(word)
            continue
        if not equals and not word.startswith("--"):
            rest.append(word)
            continue
        if not equals:
            value = waiting.pop(0) if waiting and not waiting[0].startswith("--") else ""
        if not value:
            raise InputError(f"{verb}: {key} needs a value; {_listed(known)}")
        if key in options:
            raise InputError(f"{verb}: {key} is given twice")
        options[key] = value
    return rest, options


def _listed(known: Sequence[str]) -> str:
    return f"the options are {', '.join(f'{key}=VALUE' for key in known)}"
