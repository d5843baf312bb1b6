"""setup.cfg against the folders: what an installed package would lack is told here."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# What a distribution is called where it is not the name that is imported.
DISTRIBUTIONS = {
    "hydra": "hydra-core",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "fontTools": "fonttools",
    "sklearn": "scikit-learn",
    "huggingface_hub": "huggingface-hub",
}


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / "setup.cfg")
    return parser


def test_every_package_is_listed() -> None:
    listed = set(settings()["options"]["packages"].split())
    folders = {path.parent for path in (CHECKOUT / "fewshot").rglob("*.py")}
    assert listed == {".".join(f.relative_to(CHECKOUT).parts) for f in folders} | {"fewshot.conf"}


def test_every_data_file_matches_a_pattern() -> None:
    patterns = settings()["options.package_data"]["fewshot.data.class_lists"].replace(",", " ").split()
    files = [path for path in (CHECKOUT / "fewshot/data/class_lists").iterdir() if path.is_file()]
    lists = [path for path in files if path.suffix != ".py"]
    assert lists and all(any(path.match(pattern) for pattern in patterns) for path in lists)


def test_every_imported_package_is_required() -> None:
    lists = [settings()["options"]["install_requires"]]
    lists += [settings()["options.extras_require"][extra] for extra in ("export", "lora")]
    required = {re.split(r"[<>=]", line)[0] for listed in lists for line in listed.split()}
    for path in (CHECKOUT / "fewshot").rglob("*.py"):
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            assert DISTRIBUTIONS.get(name, name) in required, f"{path.relative_to(CHECKOUT)} imports {name}"


def _imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"fewshot", "__future__"}
