"""What a value from a config must become to fit a constructor's type annotation.

Values come from YAML and the command line: None, bool, int, float, str, list, dict. Only
conversions that lose nothing are made (int to float, list to tuple, a number to the str it was
typed as, str to Path); everything else that does not fit is a TypeError.
"""

from __future__ import annotations

import collections.abc
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

_SEQUENCES = {
    list: list,
    tuple: tuple,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def convert(value: Any, annotation: Any) -> Any:
    """`value` as `annotation` asks for it.

    Args:
        value: plain value, or an object that was built already.
        annotation: a resolved annotation (not a string).

    Raises:
        TypeError: `value` does not fit; the text is "expected int, got 'five'".
    """
    try:
        return _convert(value, annotation)
    except _Misfit:
        raise TypeError(f"expected {describe(annotation)}, got {_shown(value)}") from None


def describe(annotation: Any) -> str:
    """The annotation in the words of a person who types it: `int`, `float or null`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is type(None):
        return "null"
    if origin in (Union, types.UnionType):
        return " or ".join(describe(member) for member in arguments)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin is not None and arguments:
        inner = ", ".join("..." if a is Ellipsis else describe(a) for a in arguments)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    return str(getattr(annotation, "__name__", annotation))


class _Misfit(Exception):
    """The value does not fit; `convert` words it with the whole annotation."""


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _convert(value: Any, annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any or isinstance(annotation, TypeVar):
        return value
    if annotation is None or annotation is type(None):
        return _accept(value, value is None)
    if origin in (Union, types.UnionType):
        return _first_fit(value, arguments)
    if origin is Literal:
        return _accept(value, any(type(value) is type(c) and value == c for c in arguments))
    kind = origin or annotation
    if kind in _SEQUENCES:
        return _sequence(value, _SEQUENCES[kind], arguments)
    if kind in _MAPPINGS:
        return _mapping(value, arguments)
    return _scalar(value, kind)


def _accept(value: Any, fits: bool) -> Any:
    if not fits:
        raise _Misfit
    return value


def _first_fit(value: Any, members: tuple[Any, ...]) -> Any:
    """The union member that takes the value as it is, else the first that takes it converted."""
    fits = []
    for member in members:
        try:
            fits.append(_convert(value, member))
        except _Misfit:
            continue
    if not fits:
        raise _Misfit
    return next((fit for fit in fits if type(fit) is type(value)), fits[0])


def _sequence(value: Any, make: type, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, (list, tuple)):
        # An iterable that code made (a generator of parameters, say) passes for Iterable.
        plain = isinstance(value, (str, bytes, dict, int, float, type(None)))
        return _accept(value, make is list and not plain)
    if not arguments:
        return make(value)
    if make is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        if len(value) != len(arguments):
            raise _Misfit
        return tuple(_convert(v, a) for v, a in zip(value, arguments, strict=True))
    return make(_convert(v, arguments[0]) for v in value)


def _mapping(value: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, collections.abc.Mapping):
        raise _Misfit
    if not arguments:
        return dict(value)
    return {_convert(k, arguments[0]): _convert(v, arguments[1]) for k, v in value.items()}


def _scalar(value: Any, kind: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is bool:
        return _accept(value, isinstance(value, bool))
    if kind is int:
        return _accept(value, number and isinstance(value, int))
    if kind is float:
        return float(_accept(value, number))
    if kind is str:
        return str(_accept(value, number or isinstance(value, str)))
    if kind is Path:
        return Path(_accept(value, isinstance(value, (str, Path))))
    try:
        return _accept(value, isinstance(value, kind))
    except TypeError:
        # Not a class that can be asked (a Protocol, a Callable form, a NewType): no judgement.
        return value
