"""A skip that nobody overlooks: one line that stands out, and a failure where a whole run is promised (`CI=true`)."""

from __future__ import annotations

import os
import warnings
from typing import NoReturn

import pytest


def skip_loudly(reason: str) -> NoReturn:
    """Skip this test, or fail it under `CI=true`."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason} — and CI=true allows no skip", pytrace=False)
    warnings.warn(pytest.PytestWarning(f"SKIPPED: {reason}"), stacklevel=2)
    pytest.skip(reason)
