"""What a `_target_` says of itself, read from its source without importing it."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Examples?|Note|Shape):", re.MULTILINE)
_MOST_STEPS = 8
"""Re-exports that are followed; more would be a circle."""


@dataclass(frozen=True)
class Definition:
    """A class or function in a file.

    Attributes:
        name: its dotted name as it was asked for.
        path: of the file.
        node: its syntax tree.
    """

    name: str
    path: Path
    node: ast.ClassDef | ast.FunctionDef

    @cached_property
    def docstring(self) -> str:
        """All of it, or ""."""
        return ast.get_docstring(self.node) or ""

    @property
    def about(self) -> str:
        """The docstring before its first section (`Args:`), for our own parts all of the prose."""
        return _SECTION.split(self.docstring, maxsplit=1)[0].strip()

    @property
    def arguments(self) -> dict[str, str]:
        """Name -> annotation ("" where there is none) of what it is built with."""
        makers = [s for s in self.node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"]
        if isinstance(self.node, ast.FunctionDef):
            makers = [self.node]
        if not makers:
            return dict(_field(statement) for statement in self.node.body if _is_field(statement))
        given = makers[0].args
        named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in named if a.arg != "self"}

    @property
    def explained(self) -> dict[str, str]:
        """What the sections `Args:` and `Attributes:` of the docstring say of each argument."""
        found: dict[str, str] = {}
        for section in re.split(r"^(?=\w+:\s*$)", self.docstring, flags=re.MULTILINE):
            if section.startswith(("Args:", "Attributes:")):
                for entry in re.split(r"\n(?=    \S)", section)[1:]:
                    names, _, text = entry.strip().partition(":")
                    found |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
        return found


def _is_field(statement: ast.stmt) -> bool:
    """Whether a dataclass takes it as an argument."""
    if not isinstance(statement, ast.AnnAssign) or "ClassVar" in ast.unparse(statement.annotation):
        return False
    return statement.value is None or "init=False" not in ast.unparse(statement.value)


def _field(statement: ast.stmt) -> tuple[str, str]:
    assert isinstance(statement, ast.AnnAssign)
    return ast.unparse(statement.target), ast.unparse(statement.annotation)


def definition(target: str) -> Definition | None:
    """The source of a dotted name, through the packages that re-export it; None if it is not found."""
    name = target
    for _ in range(_MOST_STEPS):
        module, _, last = name.rpartition(".")
        path = _file(module)
        if path is None:
            return None
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == last:
                return Definition(target, path, node)
        imported = _import_of(tree, last, module, path.name == "__init__.py")
        if imported is None:
            return None
        name = imported
    return None


def _file(module: str) -> Path | None:
    """The file of a module; only the top package is looked up, which imports nothing."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top) if top else None
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0], *below)
    return next((p for p in (folder / "__init__.py", folder.with_suffix(".py")) if p.is_file()), None)


def _import_of(tree: ast.Module, name: str, module: str, package: bool) -> str | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    parts = module.split(".")
                    above = parts[: len(parts) - node.level + package] if node.level else []
                    return ".".join([*above, *([node.module] if node.module else []), alias.name])
    return None
