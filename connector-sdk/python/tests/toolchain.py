"""What a test needs beside Python."""

from __future__ import annotations

import os

import pytest


def left_out(why: str) -> None:
    """Skips the test; fails it where every toolchain is demanded."""
    if os.environ.get("CI") == "true" or os.environ.get("DEMAND_TOOLCHAINS") == "1":
        pytest.fail(why)
    pytest.skip(why)
