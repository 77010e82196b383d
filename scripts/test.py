"""Run pytest; arguments go on to it. With ``--coverage`` first, measure the branches of core.

The last line is pytest's own summary. Coverage starts here and not through a pytest plugin: core
is itself a pytest plugin, and what pytest imports before the measuring begins would count as
never run. It is not the default because tracing every line takes longer than all the tests.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import coverage
    import pytest

ROOT = Path(__file__).resolve().parent.parent
COVERAGE_FAILED = 2


class CoverageReport:
    """Print the coverage table above pytest's summary and remember whether it suffices."""

    def __init__(self, measured: coverage.Coverage, *, whole: bool) -> None:
        self.measured = measured
        self.whole = whole
        self.suffices = True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Stop measuring and report; a selection of tests is not held to the threshold."""
        self.measured.stop()
        if not self.measured.get_data().measured_files():
            return
        table = io.StringIO()
        total = self.measured.report(file=table)
        terminalreporter.section("branch coverage of comfytavern-core")
        terminalreporter.write(table.getvalue())
        threshold = float(str(self.measured.get_option("report:fail_under") or 0))
        if self.whole and total < threshold:
            self.suffices = False
            terminalreporter.line(
                f"coverage is {total:.2f} %, it must not fall below {threshold:g} %", red=True
            )


def main(arguments: list[str]) -> int:
    """Run the tests and give pytest's exit code, or that of missing coverage."""
    os.chdir(ROOT)
    if arguments[:1] != ["--coverage"]:
        import pytest

        return int(pytest.main(arguments))
    return with_coverage(arguments[1:])


def with_coverage(arguments: list[str]) -> int:
    """Run the tests while coverage watches; a test may take longer then."""
    import coverage

    measured = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    measured.start()
    import pytest  # only now, so that the plugins it loads are measured

    report = CoverageReport(measured, whole=not arguments)
    outcome = int(pytest.main(["--timeout=120", *arguments], plugins=[report]))
    return outcome or (0 if report.suffices else COVERAGE_FAILED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
