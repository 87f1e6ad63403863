"""Say what a test needs from the machine it runs on."""

import os

import pytest

IN_CI = os.environ.get("CI", "").lower() == "true"


def require(condition: object, reason: str) -> None:
    """Skip the running test unless `condition` holds; fail it under CI=true.

    `reason` says what is missing and how to get it.
    """
    if condition:
        return
    if IN_CI:
        pytest.fail(f"missing prerequisite in CI: {reason}", pytrace=False)
    pytest.skip(reason)
