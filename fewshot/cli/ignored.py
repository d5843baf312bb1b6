"""Keys that a recipe or an evaluation makes no use of: typed, they would be lost silently."""

from __future__ import annotations

from fewshot.cli.arguments import Arguments
from fewshot.cli.preview import EVERYTHING, Preview
from fewshot.errors import InputError

_TASK = ("ways", "shots", "queries")
_EPISODES = (*_TASK, "episodes", "classifier", "episode", "temperature")
_STREAM = ("continual", "tasks", "first_task", "class_order", "scenario")


def refuse_ignored(arguments: Arguments, seen: Preview) -> None:
    """Refuse what the chosen recipe, or evaluation, does not read.

    Raises:
        InputError: one line for the first such key.
    """
    for group, reason in (("evaluation", _by_evaluation), ("recipe", _by_recipe)):
        chosen = seen.choices.get(group)
        if chosen is None or seen.is_open(EVERYTHING) or seen.is_open(group):
            continue
        for override in arguments.overrides:
            if override.text != "none" and (why := reason(chosen, override.key, seen)):
                raise InputError(f"{override.word}: {why}")
    typed = {override.key: override for override in arguments.overrides}
    domains, tasks = typed.get("scenario.domains"), typed.get("tasks")
    if tasks and domains and (domains.text or "").lower() == "true":
        raise InputError(f"{tasks.word}: with scenario.domains=true each domain is a task; leave it out")


def _by_evaluation(evaluation: str, key: str, seen: Preview) -> str | None:
    if evaluation == "maml" and _within(key, ("classifier", "batch", "cache", "episode", "temperature")):
        return "evaluation=maml adapts the network to each episode by itself; leave it out"
    if evaluation not in ("few_shot", "maml") and _within(key, _EPISODES):
        return f"evaluation={evaluation} has no episodes; leave it out"
    if evaluation == "continual" and _within(key, ("seed", "cache")):
        return "evaluation=continual draws nothing and keeps no embeddings; leave it out"
    return None


def _by_recipe(recipe: str, key: str, seen: Preview) -> str | None:
    if recipe != "continual" and _within(key, _STREAM):
        return f"recipe={recipe} has no stream of tasks; add recipe=continual"
    if recipe == "continual" and _within(key, (*_EPISODES, "validation", "mixup", "memory", "adapt")):
        return "recipe=continual makes no use of it; leave it out"
    if recipe == "continual" and _within(key, ("loss",)) and not _takes_loss(seen):
        return f"continual={seen.choices['continual']} has a loss of its own; leave it out"
    if recipe == "maml" and _within(key, ("loss", "mixup", "memory", "classifier")):
        return "recipe=maml trains the adapted network's own cross-entropy; leave it out"
    if recipe == "maml" and _within(key, ("adapt",)):
        return "recipe=maml adapts every weight, or the head (maml.adapt=head); leave it out"
    if recipe == "maml" and key == "sampler" and "ways" not in (seen.values.get("sampler") or {}):
        return "recipe=maml adapts to episodes; leave it out"
    if recipe == "retrieval" and _within(key, ("classifier", "validation.episodes")):
        return "recipe=retrieval chooses by Recall@1; leave it out"
    if recipe == "retrieval" and _within(key, _TASK) and seen.choices.get("sampler") != "episodes":
        return "recipe=retrieval draws episodes with sampler=episodes alone; leave it out"
    return None


def _takes_loss(seen: Preview) -> bool:
    """Methods that learn their features with `loss` say how many `views` of an image it sees."""
    method = seen.values.get("continual") or {}
    return seen.is_open("continual") or not method or "views" in method


def _within(key: str, names: tuple[str, ...]) -> bool:
    """Whether a dotted key is one of these, or an option of one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)
