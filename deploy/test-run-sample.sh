#!/usr/bin/env bash
# Runs deploy/run-sample.sh as a newcomer would, twice on the same state, and looks at what it says.
# Usage: deploy/test-run-sample.sh FOLDER-OF-BINARIES
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DATA_DIR=$folder/data
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
export CONNECTORD_SERVER__CONTROL_LISTEN=127.0.0.1:$port CONNECTORD_SERVER__PUBLIC_LISTEN=127.0.0.1:$(free_port)
export CONNECTORCTL_SERVER=http://127.0.0.1:$port

expected=$(find samples/library -type f | wc -l)
says() {
  if ! grep -q -- "$1" "$2"; then
    echo "expected \"$1\" in:"
    cat "$2"
    exit 1
  fi
}

deploy/run-sample.sh "$1" --once >"$folder/first" 2>&1 || { cat "$folder/first"; exit 1; }
says "$expected created, 0 updated, 0 unchanged" "$folder/first"
says "Budget 2026.xlsx" "$folder/first"
deploy/run-sample.sh "$1" --once >"$folder/second" 2>&1 || { cat "$folder/second"; exit 1; }
says "0 created, 0 updated, $expected unchanged" "$folder/second"
if grep -q '^read ' "$folder/second"; then
  echo "the second run read content again:"
  cat "$folder/second"
  exit 1
fi
echo "make run: the first run reads $expected documents, the second none of them again"
