"""Tells each test's outcome as soon as it is known, so that a run that is cut off keeps them."""

from __future__ import annotations

import pytest

from benchmarks.gpu.runner import tell


class Teller:
    """A plug-in of pytest."""

    def __init__(self) -> None:
        """Nothing has run."""
        self.passed: list[str] = []
        self.failed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's set-up, body or tear-down is over."""
        name = report.nodeid.rpartition("/")[2]
        if report.failed:
            self.failed[name] = report.longreprtext.splitlines()[-1]
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "expected"
            self.skipped[name] = str(reason).removeprefix("Skipped: ")
        elif report.when == "call":
            self.passed.append(name)
        else:
            return
        self.told()

    def told(self) -> None:
        """All outcomes so far."""
        counts = (
            f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        )
        lines = [f"{counts}."]
        lines += [f"- failed: `{name}`: {words}" for name, words in self.failed.items()]
        lines += [f"- skipped: `{name}`: {words}" for name, words in self.skipped.items()]
        tell(
            {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
            | {"markdown": "\n\n".join([lines[0], "\n".join(lines[1:])])}
        )
