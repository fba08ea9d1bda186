"""The connector's own command line."""

from __future__ import annotations

from .call import Program
from .serve import serve


def main(program: Program, arguments: list[str]) -> int:
    """Does what the arguments say, and gives the exit code."""
    return serve(program)
