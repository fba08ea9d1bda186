#!/usr/bin/env bash
# Everything that there is to try of the Python SDK, in a venv of its own with the versions of requirements.lock.
# Usage: test.sh [arguments of pytest]
set -euo pipefail
cd "$(dirname "$0")"

if [ ! -e .venv/ready ] || [ requirements.lock -nt .venv/ready ] || [ pyproject.toml -nt .venv/ready ]; then
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.lock
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  touch .venv/ready
fi
.venv/bin/ruff check --quiet .
.venv/bin/ruff format --quiet --check .
.venv/bin/mypy
.venv/bin/pytest "$@"
