"""Which tests run which lines: a plugin of pytest around coverage's contexts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest


class Reaching:
    """Watches one run of pytest; tests that are skipped or fail count for nothing.

    What a fixture runs counts for all tests of the file: one of module scope is set up for the first alone.

    Attributes:
        seconds: of each test, by node id.
    """

    def __init__(self, project: Path, places: list[str]) -> None:
        self.seconds: dict[str, float] = {}
        self._missed: set[str] = set()
        self._looking: set[str] = set()
        self._ran: dict[str, dict[int, list[str]]] = {}
        included = [str(project / place / "*") if (project / place).is_dir() else place for place in places]
        self._project = project
        self._coverage: coverage.Coverage | None = coverage.Coverage(data_file=None, include=included)
        self._coverage.start()

    def _during(self, part: str, name: str) -> Generator[None, Any, Any]:
        assert self._coverage is not None
        self._coverage.switch_context(f"{part} {name}")
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        return (yield from self._during("collection", file_of(collector.nodeid)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._during("fixtures", file_of(item.nodeid)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._during("test", item.nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration
        if not report.passed:
            self._missed.add(report.nodeid)

    def stop(self) -> None:
        assert self._coverage is not None
        self._coverage.stop()
        data = self._coverage.get_data()
        for file in data.measured_files():
            self._ran[str(Path(file).relative_to(self._project))] = data.contexts_by_lineno(file)
        self._coverage = None
        contexts = {each for ran in self._ran.values() for names in ran.values() for each in names}
        self._looking = {f"test {test}" for test in self.seconds} - contexts

    def of(self, file: str, lines: range, imported: bool) -> list[str]:
        """The tests that run some lines of a file, fastest first.

        Of lines that run when the file is imported (`imported`, or seen to): all that run anything of it, and
        those that run nothing at all, since they may look at signatures or constants.
        """
        ran = self._ran.get(file, {})
        wanted = {context for line in lines for context in ran.get(line, ())}
        if imported or any(context.startswith("collection ") for context in wanted):
            wanted.update(context for contexts in ran.values() for context in contexts)
            wanted |= self._looking
        named = defaultdict(set)
        for part, _, name in (context.partition(" ") for context in wanted):
            named[part].add(name)
        whole = named["collection"] | named["fixtures"]
        chosen = [test for test in self.seconds if test in named["test"] or file_of(test) in whole]
        return sorted((test for test in chosen if test not in self._missed), key=self.seconds.__getitem__)


def file_of(node: str) -> str:
    return node.split("::")[0]
