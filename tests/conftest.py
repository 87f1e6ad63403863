"""What holds for all tests: marks by folder, no skips in CI, one place for scratch."""

import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.configuration
import pytest

from support.require import IN_CI

ROOT = Path(__file__).resolve().parent.parent
MARKED_FOLDERS = {ROOT / "tests/e2e": "e2e", ROOT / "tests/sanitize": "sanitize"}

# Under nohup, what the tests start would inherit an ignored HUP, which sevpn respects.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".cache/hypothesis")
# No deadline: the machines are shared. The same examples in every CI run: a submission
# must not fail by chance; whoever works on a codec gets new ones each time.
hypothesis.settings.register_profile(
    "sevpn", deadline=None, derandomize=IN_CI, print_blob=True, max_examples=200
)
hypothesis.settings.load_profile("sevpn")


def pytest_report_header() -> str:
    """Tell which build of the package is tested."""
    import sevpn

    return f"sevpn: {Path(sevpn.__file__).parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a folder its mark."""
    for item in items:
        for folder, mark in MARKED_FOLDERS.items():
            if item.path.is_relative_to(folder):
                item.add_marker(mark)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Under CI=true a test that cannot run has failed (an expected failure has not)."""
    if IN_CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Turn skips of tests into failures in CI."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Turn skips of whole modules into failures in CI."""
    report = yield
    _refuse_skip(report)
    return report
