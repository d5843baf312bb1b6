"""From a node of the config to an object: the one safe way.

A node is a mapping with `_target_`, the dotted name of a class or function, and its arguments:

    {_target_: fewshot.losses.ICNN, k: 4}

Hydra's own `instantiate` calls whatever a `_target_` names; this one calls only what
`fewshot.targets` allows, nested nodes included, and reports every mistake as one line.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf

from fewshot.annotations import convert
from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean
from fewshot.targets import resolve_target


def instantiate(
    node: Any, /, *, offered: Mapping[str, Any] | None = None, place: str | None = None, **given: Any
) -> Any:
    """Build what a node describes, nested nodes first.

    Args:
        node: mapping with `_target_` (DictConfig or dict).
        offered: arguments that the caller has at hand (`classes`, `dim`): passed to this and nested
            constructors where they name them and the node does not set them, otherwise left out.
        place: the node's key for messages, where it is no longer part of a config.
        **given: arguments passed in any case; they win over the node's.

    Raises:
        InputError: one line with the node's key, for a target that is not allowed or missing, an
            option that does not exist, a value of the wrong type, or a constructor's ValueError
            or TypeError.
    """
    values, key = _plain(node)
    return _instantiate(values, place or key, offered or {}, given)


def check_targets(config: Any) -> None:
    """Check every node below `config`, its target and the types of its options, and build none.

    It runs before the recipe does, so that `loss.k=five` is reported before any work starts. A null
    and a key that the target does not name are left to the recipe that reads them (a scheduler's
    `T_max: null` means the whole run, its `interval` is the loop's).

    Raises:
        InputError: as `instantiate`.
    """
    _check(*_plain(config))


def plain(node: DictConfig) -> dict[str, Any]:
    """A node as plain containers with interpolations resolved: what checkpoints and results hold."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))


def _plain(node: Any) -> tuple[Any, str]:
    """Plain containers, interpolations resolved, and the node's full key."""
    if isinstance(node, (DictConfig, ListConfig)):
        return OmegaConf.to_container(node, resolve=True), str(node._get_full_key(None))
    return node, str(node.get("_target_", "")) if isinstance(node, Mapping) else ""


def _instantiate(plain: Any, place: str, offered: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    target = _target_of(plain, place)
    options = _options(plain, place)
    built = {key: _build(value, f"{place}.{key}", offered) for key, value in options.items()}
    signature = inspect.signature(target)
    arguments = {key: value for key, value in offered.items() if key in signature.parameters}
    arguments |= _fitting(target, built, place)
    arguments |= given
    try:
        # Binding first tells a missing argument from a TypeError within the constructor.
        signature.bind(**arguments)
        return target(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: {plain['_target_']}: {error}") from error


def _build(value: Any, place: str, offered: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return _instantiate(value, place, offered, {})
        return {key: _build(inner, f"{place}.{key}", offered) for key, inner in value.items()}
    if isinstance(value, list):
        return [_build(inner, f"{place}.{i}", offered) for i, inner in enumerate(value)]
    return value


def _check(plain: Any, place: str) -> None:
    for key, value in _children(plain):
        _check(value, f"{place}.{key}" if place else key)
    if isinstance(plain, Mapping) and plain.get("_target_") is not None:
        target = _target_of(plain, place)
        named = inspect.signature(target).parameters
        options = _options(plain, place)
        _fitting(target, {k: v for k, v in options.items() if k in named and v is not None}, place)


def _children(plain: Any) -> list[tuple[str, Any]]:
    if isinstance(plain, Mapping):
        return [(str(key), value) for key, value in plain.items()]
    return [(str(i), value) for i, value in enumerate(plain)] if isinstance(plain, list) else []


def _target_of(plain: Any, place: str) -> Callable[..., Any]:
    if not isinstance(plain, Mapping) or not isinstance(plain.get("_target_"), str):
        raise InputError(f"{place}: has no _target_, so there is nothing to build")
    return resolve_target(plain["_target_"], place)


def _options(plain: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The node's arguments; Hydra's other special keys are refused, `_partial_` for its cost a call."""
    options = {str(key): value for key, value in plain.items() if key != "_target_"}
    for key in options:
        if key.startswith("_") and key.endswith("_"):
            raise InputError(f"{place}.{key}: is not supported; a node holds _target_ and its arguments")
    return options


def _fitting(target: Callable[..., Any], options: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The options, each known to the target and converted to its annotation."""
    parameters = inspect.signature(target).parameters
    named = [key for key, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    annotations = _annotations(target)
    fitting = {}
    for key, value in options.items():
        if key not in named and not takes_any:
            known = f"its options are {', '.join(named)}" if named else "it has none"
            raise InputError(f"{place} has no option '{key}'; {known}{did_you_mean(key, named)}")
        try:
            fitting[key] = value if _holds_nodes(value) else convert(value, annotations.get(key, Any))
        except TypeError as error:
            raise InputError(f"{place}.{key}: {error}") from None
    return fitting


def _holds_nodes(value: Any) -> bool:
    """Whether something in the value is still to be built, so that its type can't be judged yet."""
    if isinstance(value, Mapping) and "_target_" in value:
        return True
    return any(_holds_nodes(inner) for _, inner in _children(value))


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    # A dataclass may inherit fields from a module with other imports: only asked as a class does each
    # annotation resolve where it was written.
    typed = target.__init__ if inspect.isclass(target) and not is_dataclass(target) else target
    try:
        return typing.get_type_hints(typed)
    except (NameError, AttributeError, TypeError):
        # Another library's annotation may name what it imports for type checkers alone.
        return {}
