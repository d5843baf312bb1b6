"""A comparison as a table: in Markdown to read, in LaTeX for a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fewshot.evaluation.intervals import Interval
from fewshot.recipes.comparison import Method, Row
from fewshot.recipes.saved_result import SavedValues

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def markdown(methods: Sequence[Method], figures: dict[str, list[Row]]) -> str:
    """Every figure as a table of its own, then what it was measured on and which runs the rows are."""
    result = _first_result(methods)
    lines = []
    for name, rows in figures.items():
        titles = ["", f"{name}, %", "difference, points", f"{result.unit} better / equal / worse", "seeds"]
        lines += [f"### {name}", "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        for row in rows:
            cells = [row.method, str(row.mean), _difference(row), _counts(row), _seeds(row)]
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    lines += [f"{note}\n" for note in notes(methods, figures)]
    lines += ["Runs:"]
    for method in methods:
        folders = ", ".join(f"`{found.folder}`" for found in method.results.values())
        lines.append(f"- {method.label}: {folders}")
    return "\n".join(lines) + "\n"


def latex(methods: Sequence[Method], figures: dict[str, list[Row]]) -> str:
    r"""One booktabs table, a column for each figure and its difference; needs `\usepackage{booktabs}`."""
    columns = "l" + "rr" * len(figures)
    header = " & ".join(["", *(f"{escaped(name)} & difference" for name in figures)])
    lines = [*(f"% {note}" for note in notes(methods, figures))]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{header} \\", r"\midrule"]
    for number, method in enumerate(methods):
        cells = [escaped(method.label)]
        for rows in figures.values():
            row = rows[number]
            shown = "" if row.difference is None else _math(row.difference, sign="+")
            cells += [_math(row.mean), shown]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def notes(methods: Sequence[Method], figures: dict[str, list[Row]]) -> list[str]:
    """What the figures are and are not, one line each."""
    result, first = _first_result(methods), methods[0].label
    several = [row for row in next(iter(figures.values())) if len(row.seeds) > 1]
    lines = [
        f"Measured on {result.where}. Differences are to {first}, paired; * where the interval excludes zero."
    ]
    if several:
        lines.append(
            "Intervals: 95%, over training seeds (t); where there is one seed (or one in common), over "
            f"{result.unit}."
        )
    else:
        lines.append(
            f"Intervals: 95%, over {result.unit} of one training each: they say nothing of how another "
            "training seed would end; add runs with other seeds for a claim about methods."
        )
    seen = {
        method.label: sorted({str(found.summary.get("leak", "unknown")) for found in method.results.values()})
        for method in methods
    }
    if len({tuple(labels) for labels in seen.values()}) > 1:
        lines.append(f"What the weights have seen differs: {_listed(seen)}.")
    together = {
        method.label: any(found.summary.get("transductive", False) for found in method.results.values())
        for method in methods
    }
    if len(set(together.values())) > 1:
        named = ", ".join(label for label, seen_together in together.items() if seen_together)
        lines.append(f"Transductive, so that it sees the queries of an episode together: {named}.")
    return lines


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return re.sub(r"[\\~^&%$#_{}]", lambda match: _LATEX[match[0]], text)


def _listed(seen: dict[str, list[str]]) -> str:
    return "; ".join(f"{method}: {', '.join(labels)}" for method, labels in seen.items())


def _first_result(methods: Sequence[Method]) -> SavedValues:
    return next(iter(methods[0].results.values()))


def _difference(row: Row) -> str:
    if row.difference is None:
        return ""
    shown = f"{'+' if row.difference.mean > 0 else ''}{row.difference}"
    return f"{shown} *" if row.difference.excludes_zero else shown


def _counts(row: Row) -> str:
    return "" if row.difference is None else f"{row.wins:,} / {row.ties:,} / {row.losses:,}"


def _seeds(row: Row) -> str:
    shown = ", ".join(map(str, row.seeds))
    return (
        shown if row.difference is None or row.paired == len(row.seeds) else f"{shown} ({row.paired} paired)"
    )


def _math(interval: Interval, sign: str = "") -> str:
    mean, half = 100 * interval.mean, 100 * interval.half_width
    spread = "" if half != half else rf" \pm {half:.2f}"
    return f"${mean:{sign}.2f}{spread}$"
