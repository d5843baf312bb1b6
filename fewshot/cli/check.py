"""The arguments held against the YAML files, before Hydra and before any heavy import.

Hydra accepts `shots=five`, answers `losss=icnn` with advice to add a key, and prints a traceback
for `loss=null`. Here each such mistake is one line that says what would be right. What this check
can't judge (interpolations, sweeps by function, `hydra.*`) it leaves to Hydra.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from fewshot.annotations import convert
from fewshot.cli.arguments import Arguments, Override, literal, split_at_commas
from fewshot.cli.conf_folder import ConfFolder
from fewshot.cli.ignored import refuse_ignored
from fewshot.cli.preview import EVERYTHING, Preview, preview
from fewshot.errors import InputError
from fewshot.suggestion import did_you_mean

# What a resumed run may be given anew: where it computes and what it tells, not what it learns.
BESIDE_RESUME = ("device", "threads", "report")
# Their files set keys anywhere in the config.
_GLOBAL_GROUPS = ("experiment", "recipe")


def check(arguments: Arguments, conf: ConfFolder, name: str, schema: type) -> Preview:
    """Check every override of a program.

    Args:
        arguments: of the command line.
        conf: where the YAML is.
        name: of the program and its primary config, `train` or `eval`.
        schema: dataclass with the types of the keys outside groups.

    Returns:
        The preview of the config, without the values of single keys.

    Raises:
        InputError: one line for the first mistake.
    """
    groups = {o.key: o for o in arguments.overrides if o.key in conf.groups and o.package is None}
    for override in arguments.overrides:
        if override.key in conf.groups and override.prefix != "~":
            _check_choices(override, conf.choices(override.key))
    single = {key: o.values[0] for key, o in groups.items() if len(o.values) == 1 and _is_plain(o.values[0])}
    seen = preview(conf, name, {key: value.strip("'\"") for key, value in single.items()})
    for group in groups.keys() - single.keys():
        seen.open |= {group} if group not in _GLOBAL_GROUPS else {EVERYTHING}
    several = arguments.flag("--multirun", "-m") is not None or any(
        o.key == "hydra.mode" for o in arguments.overrides
    )
    for override in arguments.overrides:
        if override.key.split(".")[0].split("/")[0] == "hydra":
            continue
        if override.prefix == "~":
            _check_removal(override, conf, schema)
            continue
        if override.text is None:
            raise InputError(_bare_word(override.word, conf))
        if not override.prefix:
            _check_key(override, seen, conf, name)
        if len(override.values) > 1 and not several:
            raise InputError(
                f"{override.word}: several values need -m, which makes one run of each; "
                f"a list is written {override.key}=[{override.text}]"
            )
        if override.key not in conf.groups:
            _check_singular(override, conf)
            _check_type(override, schema)
    _check_resume(arguments, name)
    _check_length(arguments, seen)
    refuse_ignored(arguments, seen)
    return seen


def _check_length(arguments: Arguments, seen: Preview) -> None:
    """`epochs` goes before `steps`; steps that were typed may not give way to an experiment's epochs."""
    typed = {override.key: override for override in arguments.overrides}
    if "steps" in typed and "epochs" not in typed and seen.values.get("epochs") is not None:
        raise InputError(
            f"{typed['steps'].word}: the chosen experiment counts epochs={seen.values['epochs']}, "
            "which go before steps; add epochs=null"
        )


def _check_resume(arguments: Arguments, name: str) -> None:
    """A resumed run goes on with the settings it began with; nothing typed beside may be lost silently."""
    typed = [override for override in arguments.overrides if not override.key.startswith("hydra")]
    if not any(override.key == "resume" and override.text not in ("null", "") for override in typed):
        return
    for override in typed:
        if override.key not in ("resume", *BESIDE_RESUME):
            if name == "predict":
                raise InputError(
                    f"resume: a prediction goes on with its own settings, so {override.word} can't be given "
                    f"beside it (only {', '.join(BESIDE_RESUME)} can)"
                )
            raise InputError(
                f"resume: a run goes on with its own settings, so {override.word} can't be given beside it "
                f"(only {', '.join(BESIDE_RESUME)} can); start a new run from its weights with init=RUN"
            )


def _check_removal(override: Override, conf: ConfFolder, schema: type) -> None:
    """An option of a part may be taken away, which leaves its default; a part or a key of ours may not."""
    key = override.key
    if override.package is None and key in conf.groups:
        raise InputError(f"{override.word}: can't be left out; choose {key}=NAME instead")
    if annotation_at(schema, key) is not Any or key in typing.get_type_hints(schema):
        raise InputError(f"{override.word}: can't be left out; write {key}=VALUE instead")


def _is_plain(value: str) -> bool:
    """Whether the value is what it says: no interpolation, no sweep function."""
    return "${" not in value and not ("(" in value and value[:1] not in "'\"[{")


def _check_choices(override: Override, choices: Sequence[str]) -> None:
    key = override.key
    listed = f"the choices are {', '.join(choices)}"
    for value in [member for several in override.values for member in _members(several)]:
        if not _is_plain(value):
            continue
        bare = value.strip("'\"")
        if not bare:
            raise InputError(f"{override.word}: has no value; {listed}")
        if bare == "null" and "none" in choices:
            raise InputError(f"{override.word}: write {key}=none")
        if bare not in choices:
            raise InputError(f"there is no {key}={bare}; {listed}{did_you_mean(bare, choices)}")


def _members(value: str) -> list[str]:
    return split_at_commas(value[1:-1]) if value.startswith("[") and value.endswith("]") else [value]


def _bare_word(word: str, conf: ConfFolder) -> str:
    fitting = [f"{group}={word}" for group in conf.groups if word in conf.choices(group)]
    hint = f"; did you mean {' or '.join(fitting)}?" if fitting else "; --help shows the keys"
    return f"'{word}' is not KEY=VALUE{hint}"


def _check_key(override: Override, seen: Preview, conf: ConfFolder, name: str) -> None:
    key = override.key
    if override.package is not None or seen.is_open(EVERYTHING) or "$" in key:
        return
    if key in seen.choices:
        return
    if key in conf.groups:
        raise InputError(f"{override.word}: {name} has no part '{key}'; it has {', '.join(seen.choices)}")
    node: Any = seen.values
    path = ""
    for part in key.split("."):
        below = f"{path}.{part}" if path else part
        if seen.is_open(below) or (isinstance(node, str) and "${" in node):
            return
        if not path and seen.choices.get(part, "") is None and part not in node:
            raise InputError(f"{override.word}: needs a choice, {part}=NAME, whose option it is")
        if not isinstance(node, Mapping) or part not in node:
            recipes = conf.choices("recipe") if "recipe" in seen.choices else ()
            raise InputError(_unknown(key, path, part, node, seen, recipes))
        node = node[part]
        path = below


def _unknown(key: str, path: str, part: str, node: Any, seen: Preview, recipes: Sequence[str]) -> str:
    if not path:
        known = [*seen.choices, *(k for k in seen.values if k not in seen.choices), "trust"]
        nested = [f"{group}.{part}" for group, values in seen.values.items() if part in _keys(values)]
        hint = did_you_mean(part, known)
        if part in recipes:
            hint = f"; recipe={part} has it"
        if not hint and nested and "." not in key:
            hint = f"; did you mean {' or '.join(nested)}?"
        return f"unknown key '{part}'{hint or '; --help shows the keys'}"
    owner = f"{path}={seen.choices[path]}" if seen.choices.get(path) else path
    filled_in = [p.rpartition(".")[2] for p in seen.open if p.rpartition(".")[0] == path]
    names = [*_keys(node), *filled_in]
    if not names:
        return f"{owner} has no option '{part}'; it has none"
    return f"{owner} has no option '{part}'; its options are {', '.join(names)}{did_you_mean(part, names)}"


def _keys(node: Any) -> list[str]:
    return [str(key) for key in node if key != "_target_"] if isinstance(node, Mapping) else []


def _check_singular(override: Override, conf: ConfFolder) -> None:
    """`episodes=open_set` means the kind, `episode=`; `episodes` is a number."""
    group = override.key.removesuffix("s")
    if group != override.key and group in conf.groups:
        for value in override.values:
            if value in conf.choices(group):
                raise InputError(
                    f"{override.word}: {override.key} is how many there are; write {group}={value}"
                )


def _check_type(override: Override, schema: type) -> None:
    annotation = annotation_at(schema, override.key)
    for value in override.values:
        if not value and override.prefix != "+":
            raise InputError(f"{override.word}: has no value; write {override.key}=VALUE, or null for none")
        if _is_plain(value) and annotation is not Any:
            try:
                convert(literal(value), annotation)
            except TypeError as error:
                raise InputError(f"{override.key}: {error}") from None


def annotation_at(schema: type, key: str) -> Any:
    """The annotation of a dotted key; Any where the schema says nothing."""
    annotation: Any = schema
    for part in key.split("."):
        if not is_dataclass(annotation):
            return Any
        annotation = typing.get_type_hints(annotation).get(part, Any)
    return Any if is_dataclass(annotation) else annotation
