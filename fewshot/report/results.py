"""The figures of every evaluation of a run, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewshot.report.charts import Line, line_chart
from fewshot.report.markup import NOTHING, Markup, join, paragraph, percent, table, tag
from fewshot.report.run_files import Result, RunFiles
from fewshot.report.section import LeftOut

RETRIEVAL = {"r_precision": "R-precision", "map_at_r": "MAP@R", "mrr": "MRR"}
CONTINUAL = {
    "final_average": "final average",
    "average_incremental": "average incremental",
    "forgetting": "forgetting",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
    "learning_accuracy": "learning accuracy",
}
KINDS = {"task_incremental": "task-incremental", "class_incremental": "class-incremental"}


def results(run: RunFiles) -> Markup:
    """A table for each kind of evaluation there is."""
    if not run.results:
        raise LeftOut(f"not evaluated yet: python eval.py run={run.folder}")
    makers = {"few_shot": few_shot, "retrieval": retrieval, "continual": continual}
    parts = []
    for kind, make in makers.items():
        if chosen := [result for result in run.results if result.kind == kind]:
            parts.append(make(chosen))
    if not parts:
        raise LeftOut("its evaluations are of a kind that this version does not know")
    return join(parts)


def few_shot(chosen: Sequence[Result]) -> Markup:
    """A row for each evaluation and number of shots."""
    rows = []
    for result in chosen:
        summary = result.summary
        for point in summary["curve"]:
            rows.append(
                (
                    _task(summary, point["shots"]),
                    interval(point["accuracy"], point["interval"]),
                    f"{point['episodes']:,}",
                    str(summary.get("classifier", "")),
                    _where(summary),
                )
            )
    head = ("task", "accuracy", "episodes", "classifier", "data")
    told = "The interval is 95% over episodes; it does not show the spread of training."
    parts = [table(head, rows, caption="Few-shot accuracy"), paragraph(told)]
    return join((*parts, rejection(chosen), softmax(chosen), seen(chosen)))


def rejection(chosen: Sequence[Result]) -> Markup:
    """AUROC of telling queries of unknown classes from known ones, of open-set evaluations."""
    rows = [
        (
            _task(result.summary, result.summary["shots"]),
            str(result.summary.get("classifier", "")),
            f"highest {measure}" if measure != "distance" else "nearness to the nearest class mean",
            interval(found["auroc"], found["interval"]),
        )
        for result in chosen
        for measure, found in (result.summary.get("rejection") or {}).items()
    ]
    if not rows:
        return NOTHING
    head = ("task", "classifier", "kept by", "AUROC")
    told = "Of queries of known classes against those of unknown ones in each episode; 50 % is a guess."
    return join((table(head, rows, caption="Rejection of unknown classes"), paragraph(told)))


def softmax(chosen: Sequence[Result]) -> Markup:
    """NLL and ECE before and after a temperature that was fitted on validation episodes."""
    rows = []
    for result in chosen:
        summary = result.summary
        for shots, found in (summary.get("calibration") or {}).items():
            before, after = found["evaluated"]
            rows.append(
                (
                    _task(summary, shots),
                    str(summary.get("classifier", "")),
                    f"{found['temperature']:.4g}",
                    f"{before['nll']:.4f} → {after['nll']:.4f}",
                    f"{100 * before['ece']:.2f} → {100 * after['ece']:.2f} %",
                )
            )
    if not rows:
        return NOTHING
    told = (
        "The temperature was fitted by the likelihood of validation episodes; NLL and ECE are of the first "
        "evaluated ones, without it → with it."
    )
    head = ("task", "classifier", "temperature", "NLL", "ECE")
    return join((table(head, rows, caption="Temperature of the softmax"), paragraph(told)))


def retrieval(chosen: Sequence[Result]) -> Markup:
    """Every measure of every retrieval, with what the space looks like."""
    parts = []
    for result in chosen:
        summary = result.summary
        rows = [
            (_measure(name), interval(found["mean"], found["interval"]))
            for name, found in summary["measures"].items()
        ]
        for key, title in (("nmi", "NMI (k-means)"), ("ami", "AMI (k-means)")):
            if summary.get(key) is not None:
                rows.append((title, percent(summary[key])))
        for key in ("utilization", "alignment", "uniformity"):
            if summary.get(key) is not None:
                rows.append((f"{key} (lower is better)", f"{summary[key]:.4f}"))
        caption = (
            f"Retrieval on {_where(summary)}: {summary['queries']:,} queries among {summary['gallery']:,} "
            f"images by {summary.get('similarity', 'cosine')}"
        )
        parts.append(table(("measure", "value"), rows, caption=caption))
    parts.append(paragraph("Intervals are 95% over queries."))
    return join((*parts, seen(chosen)))


def seen(chosen: Sequence[Result]) -> Markup:
    """What the weights have seen of each evaluated data set: the leak labels."""
    labels = {_where(result.summary): str(result.summary.get("leak", "not recorded")) for result in chosen}
    rows = (tag("p", tag("b", f"Seen of {where}: "), label) for where, label in labels.items())
    return join(rows)


def continual(chosen: Sequence[Result]) -> Markup:
    """The measures of a stream, both kinds of prediction beside each other."""
    parts = []
    for result in chosen:
        summary = result.summary
        kinds = [kind for kind in KINDS if isinstance(summary.get(kind), Mapping)]
        rows = [
            (title, *(percent(summary[kind].get(name)) for kind in kinds))
            for name, title in CONTINUAL.items()
            if any(summary[kind].get(name) is not None for kind in kinds)
        ]
        caption = (
            f"{result.folder.name}: {summary.get('method', 'a stream')} on "
            f"{summary.get('evaluated', 'test')} images of {summary.get('data', 'its data')}, "
            f"{len((summary.get('scenario') or {}).get('tasks') or [])} tasks"
        )
        parts.append(table(("measure", *(KINDS[kind] for kind in kinds)), rows, caption=caption))
    parts.append(
        paragraph("One stream, one seed: an interval needs several seeds (python -m fewshot table).")
    )
    return join(parts)


def shot_curve(result: Result | None) -> Markup:
    """Accuracy by number of shots, with intervals."""
    if result is None or result.kind != "few_shot":
        raise LeftOut("no few-shot evaluation")
    curve = result.summary["curve"]
    if len(curve) < 2:
        raise LeftOut("evaluated with one number of shots; shots=[1,5,10] makes a curve")
    line = Line(
        f"{result.summary['ways']}-way",
        [(point["shots"], 100 * point["accuracy"]) for point in curve],
        [100 * point["interval"] for point in curve],
        marked=True,
    )
    shots = [float(point["shots"]) for point in curve]
    told = f"{result.folder.name}; bars are 95% over episodes, and may be shorter than the marks."
    return tag(
        "div",
        line_chart("Shot curve", [line], "shots", f"{line.name} accuracy, %", x_ticks=shots, headed=False),
        paragraph(told),
        class_="pair",
    )


def interval(mean: float, half_width: float | None) -> str:
    """`98.21 ± 0.05 %`."""
    return f"{100 * mean:.2f} %" if half_width is None else f"{100 * mean:.2f} ± {100 * half_width:.2f} %"


def headline(result: Result) -> str:
    """The figure that a result is known by, in one line."""
    summary = result.summary
    if result.kind == "retrieval":
        name, found = next(iter(summary["measures"].items()))
        return f"{_measure(name)} {interval(found['mean'], found['interval'])}, {_where(summary)}"
    if result.kind == "continual":
        told = [f"{KINDS[k]} {percent(summary[k].get('final_average'))}" for k in KINDS if k in summary]
        return f"final average {', '.join(told)}"
    task = _task(summary, summary["shots"])
    return f"{task} {interval(summary['accuracy'], summary['interval'])}, {_where(summary)}"


def _task(summary: Mapping[str, Any], shots: object) -> str:
    """`5-way 1-shot`; of general episodes their kind in words."""
    if "task" in summary:
        return f"{summary['episode']}: {summary['task']}, {shots}-shot"
    return f"{summary['ways']}-way {shots}-shot"


def _measure(name: str) -> str:
    return RETRIEVAL.get(name, name.replace("recall", "Recall"))


def _where(summary: Mapping[str, Any]) -> str:
    part = (summary.get("config") or {}).get("part") or summary.get("split") or ""
    return f"{summary.get('data', 'its data')} {part}".strip()
