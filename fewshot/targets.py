"""Which classes and functions a config may name in `_target_`."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, cast

from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean

ALLOWED = ("fewshot", "torch.optim", "torch.nn", "timm", "torchvision")
_OF_TORCHVISION = ("torchvision.models", "torchvision.ops", "torchvision.transforms")
"""The rest of it fetches and unpacks what a config names."""
_FUNCTIONS = ("torch.optim", "torch.nn", "torchvision.models")
"""Whose functions only build. Others write, delete, fetch or unpickle what a config names, and a config can
come with a stranger's checkpoint or run."""
_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


@contextlib.contextmanager
def trusting(packages: Sequence[str]) -> Iterator[None]:
    """Allow `_target_` in further packages while the block runs.

    Only the command line opens this block, with the `trust=[mypkg]` that the user typed. It is
    no argument of `instantiate`, so that no config read from a file can be its source.
    """
    token = _trusted.set(tuple(packages))
    try:
        yield
    finally:
        _trusted.reset(token)


def resolve_target(name: str, place: str) -> Callable[..., Any]:
    """The class or function with a dotted name.

    Its name must begin with an allowed package, so that nothing else is imported, and so must the
    `__module__` it was defined in: `torchvision.datasets.folder.os.system` begins well but is no
    function of torchvision. Of the functions there only those that build something are allowed.

    Args:
        name: as `_target_` gives it.
        place: the node's key, for messages.

    Raises:
        InputError: it does not exist, is no class or function, or is not allowed.
    """
    where = f"{place}._target_={name}"
    allowed = (*ALLOWED, *_trusted.get())
    advice = f"outside the allowed packages ({', '.join(allowed)}); to allow your own add trust=[PACKAGE]"
    if not _within(name, allowed):
        raise InputError(f"{where}: is {advice}")
    found = _locate(name, where)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise InputError(f"{where}: is no class or function defined in an allowed package")
    if not _within(found.__module__, allowed):
        raise InputError(f"{where}: is defined in {found.__module__}, {advice}")
    if not (_within(found.__module__, _trusted.get()) or _only_builds(found) or _is_recipe(found, place)):
        raise InputError(f"{where}: is no part of an experiment; only what builds one may stand there")
    return cast(Callable[..., Any], found)


def _only_builds(found: Any) -> bool:
    module: str = found.__module__
    if _within(module, ("torchvision",)) and not _within(module, _OF_TORCHVISION):
        return False
    return inspect.isclass(found) or _within(module, _FUNCTIONS)


def _is_recipe(found: Any, place: str) -> bool:
    """What a program runs: it stands at its own key alone, which no checkpoint has."""
    named = found.__name__ in ("train", "evaluate", "predict")
    return place == "recipe" and named and _within(found.__module__, ("fewshot.recipes",))


def _within(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _locate(name: str, where: str) -> Any:
    """Import as far as `name` is modules, then take attributes."""
    found: Any = None
    path = ""
    for part in name.split("."):
        path = f"{path}.{part}" if path else part
        if found is not None and hasattr(found, part):
            found = getattr(found, part)
            continue
        if found is not None and not isinstance(found, types.ModuleType):
            raise InputError(f"{where}: there is no '{path}'{did_you_mean(part, dir(found))}")
        try:
            found = importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name is not None and not _within(path, (error.name,)):
                raise InputError(f"{where}: needs the package {error.name}; pip install it") from error
            near = did_you_mean(part, dir(found)) if found is not None else "; is it on PYTHONPATH?"
            raise InputError(f"{where}: there is no '{path}'{near}") from error
    return found
