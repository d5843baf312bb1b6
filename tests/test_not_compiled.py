"""What is not compiled stays out of graphs, and marking it does not load the compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from fewshot.not_compiled import not_compiled


def test_evaluation_and_prediction_start_without_the_compiler() -> None:
    code = "import sys, fewshot.recipes.evaluate, fewshot.recipes.predict; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in done.stdout.split() and "torch._dynamo" not in done.stdout.split()


@pytest.mark.parametrize("marked", [False, True])
def test_it_is_in_no_graph(marked: bool) -> None:
    def doubled(values: Tensor) -> Tensor:
        return values * 2

    between = not_compiled(doubled) if marked else doubled
    called: list[str] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        called.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph

    compiled = torch.compile(lambda values: between(values + 1) - 3, backend=backend)
    for size in (2, 3):
        assert torch.equal(compiled(torch.ones(size)), torch.ones(size))
    assert any("add" in name for name in called) and any("sub" in name for name in called)
    assert any("mul" in name for name in called) != marked
    torch.compiler.reset()
