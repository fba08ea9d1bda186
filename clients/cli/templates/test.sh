#!/usr/bin/env bash
# Makes a connector of a language as its author would, and proves that it works as it is: its own tests, the conformance kit at the
# highest level, `connectorctl dev`, and a sync through connectord.
# Usage: clients/cli/templates/test.sh LANGUAGE…     (rust python typescript go)
# SUPERFASTTT_BIN_DIR says where connectord and connectorctl are (default target/debug), SDK_CHECKOUT whose SDKs are used (this one).
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
PATH=$(cd "$root" && cd "${SUPERFASTTT_BIN_DIR:-target/debug}" && pwd):$PATH
# connectord takes what begins so for its configuration.
unset SUPERFASTTT_BIN_DIR

work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap cleanup EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
fail() { echo "$1"; exit 1; }
mkdir "$work/connectors"

for language in "$@"; do
  echo "== $language"
  id=from-$language
  cd "$work/connectors"
  connectorctl new "$id" --lang "$language" --sdk "${SDK_CHECKOUT:-$root}" >"$work/next" 2>"$work/log" || { cat "$work/log"; exit 1; }
  # The first of the commands that it prints enters the folder and makes it ready.
  eval "$(head -n 1 "$work/next")" >"$work/log" 2>&1 || { cat "$work/log"; fail "$language: it cannot be made ready"; }
  case $language in
    rust) tests="cargo test" ;;
    python) tests=".venv/bin/pytest -q" ;;
    typescript) tests="npm test" ;;
    go) tests="go test ./..." ;;
  esac
  $tests >"$work/log" 2>&1 || { cat "$work/log"; fail "$language: its own tests fail"; }
  connectorctl conformance . >"$work/log" 2>&1 || { cat "$work/log"; fail "$language: it does not reach the highest level"; }
  tail -n 1 "$work/log"
  cp testdata/items.jsonl source.jsonl
  connectorctl --output json dev . --set file=source.jsonl >"$work/log"
  grep -q '"documents":24' "$work/log" || { cat "$work/log"; fail "$language: dev does not bring 24 documents"; }
  cp testdata/items-changed.jsonl source.jsonl
  connectorctl --output json dev . --set file=source.jsonl >"$work/log"
  grep -q '"deletions":1,"documents":2,' "$work/log" || { cat "$work/log"; fail "$language: dev does not bring the changes"; }
done

port=$(free_port)
export CONNECTORD_SERVER__CONTROL_LISTEN=127.0.0.1:$port CONNECTORD_SERVER__PUBLIC_LISTEN=127.0.0.1:$(free_port)
export CONNECTORCTL_SERVER=http://127.0.0.1:$port
connectord --connectors-dir "$work/connectors" --data-dir "$work/data" >"$work/connectord" 2>&1 &
server=$!
for _ in $(seq 200); do
  connectorctl status >/dev/null 2>&1 && break
  kill -0 "$server" 2>/dev/null || { cat "$work/connectord"; fail "connectord has ended"; }
  sleep 0.1
done
for language in "$@"; do
  id=from-$language
  connectorctl connections create --connector "$id" --name "$id" --set file="$work/connectors/$id/testdata/items.jsonl" >/dev/null 2>&1
  connectorctl sync "$id" --wait >"$work/log" 2>&1 || true
  count=$(connectorctl --output json documents list --connection "$id" | wc -l)
  [ "$count" = 24 ] || { cat "$work/log"; fail "$language: the sync brought $count documents and not 24"; }
  echo "$language: the sync brings 24 documents"
done
