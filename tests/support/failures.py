"""Names each failed test at once: a run of the suite takes long, and may be cut off before it lists its failures."""

import pytest


class FailureLines:
    """A plugin that writes a line for each failure as soon as it is known."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            reason = report.longreprtext.partition("\nE ")[2].partition("\n")[0]
            self._terminal.write_line(f"\n{report.nodeid} failed ({report.when}): {reason.strip()}")


def name_failures(config: pytest.Config) -> None:
    """Register the plugin, but not in a worker of pytest-xdist, whose lines nobody sees."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailureLines(terminal))
