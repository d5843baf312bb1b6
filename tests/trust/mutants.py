"""Mutants of files by cosmic-ray: one changed operator, number, keyword, loop, exception or decorator each.

Not counted: a change within an annotation, a text or what is raised, and one that Python does not compile.
"""

from __future__ import annotations

import ast
import difflib
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names


@dataclass(frozen=True)
class Mutant:
    """A file's source with one change.

    Attributes:
        file: within the project.
        operator: cosmic-ray's name of the change.
        lines: first and last line of the changed statement; of a compound one, those of its head.
        imported: the statement runs when the file is imported.
        source: the changed source.
        change: the lines that differ, as `-` and `+`.
    """

    file: str
    operator: str
    lines: tuple[int, int]
    imported: bool
    source: str
    change: str


def sample(project: Path, place: str, count: int, seed: int) -> list[Mutant]:
    """`count` mutants of a file, or of all files below a folder, drawn by the seed; all of fewer."""
    top = project / place
    files = [top] if top.is_file() else sorted(top.rglob("*.py"))
    texts = {str(path.relative_to(project)): path.read_text() for path in files}
    found = [(file, *change) for file, text in texts.items() for change in changes(text)]
    random.Random(f"{place} {seed}").shuffle(found)
    chosen: list[Mutant] = []
    for file, operator, occurrence, line in found:
        if len(chosen) == count:
            break
        text = texts[file]
        source = mutate_code(text, get_operator(operator)(), occurrence)
        if source is not None and compiles(source):
            lines, imported = statement(text, line)
            chosen.append(Mutant(file, operator, lines, imported, source, difference(text, source)))
    return chosen


def changes(text: str) -> Iterator[tuple[str, int, int]]:
    """(operator, number among its changes of this text, line) of all changes that count."""
    tree = get_ast(text)
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments():
            continue
        operator = kind()
        places = ((node, start) for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node))
        for occurrence, (node, (line, _)) in enumerate(places):
            if counts(node):
                yield name, occurrence, line


def counts(node: Any) -> bool:
    """Whether a node of parso's tree is code that does something."""
    while (parent := node.parent) is not None:
        kind = parent.type
        text = kind in ("fstring", "raise_stmt") or (kind == "assert_stmt" and node is not parent.children[1])
        annotation = (
            kind == "tfpdef"
            or (kind == "annassign" and node is parent.children[1])
            or (kind == "funcdef" and node is parent.annotation)
        )
        if text or annotation:
            return False
        node = parent
    return True


def compiles(source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as: "is not" with a literal
        try:
            compile(source, "mutant", "exec")
        except SyntaxError:
            return False
    return True


def statement(text: str, line: int) -> tuple[tuple[int, int], bool]:
    """The lines of the innermost statement at a line, or its head; and whether it stands in no function."""
    lines, imported = (line, line), True
    inner: ast.AST = ast.parse(text)
    while True:
        below = (node for node in ast.walk(inner) if isinstance(node, ast.stmt) and node is not inner)
        # What holds others comes before them.
        found = next((node for node in below if first(node) <= line <= last(node)), None)
        if found is None:
            return lines, imported
        inner, body = found, getattr(found, "body", None)
        if body and line < first(body[0]):
            return (first(found), first(body[0]) - 1), imported
        lines = (first(found), last(found))
        imported = imported and not isinstance(found, ast.FunctionDef)


def first(node: ast.stmt) -> int:
    """The first line, decorators included."""
    return min([node.lineno, *(int(each.lineno) for each in getattr(node, "decorator_list", []))])


def last(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno


def difference(before: str, after: str) -> str:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return "\n".join(line for line in lines if line[0] in "+-" and line[2:].strip())
