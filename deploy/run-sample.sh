#!/usr/bin/env bash
# Serves on the embedded default, syncs the sample library and says what to try next; `make run` calls it.
# Usage: deploy/run-sample.sh FOLDER-OF-BINARIES [--once]   (--once: stop after the sync instead of serving on)
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$1
once=${2:-}
data=${DATA_DIR:-.data}
server=${CONNECTORCTL_SERVER:-http://127.0.0.1:7070}
export CONNECTORCTL_SERVER=$server
library=$PWD/samples/library
mkdir -p "$data"

"$bin/connectord" --data-dir "$data" --connectors-dir "$bin/connectors" 2>"$data/connectord.log" &
pid=$!
stop() {
  trap - EXIT INT TERM
  if kill -TERM "$pid" 2>/dev/null; then
    printf '\nstopping connectord: runs stop at their last committed page…\n'
    wait "$pid" || true
  fi
}
trap stop EXIT
trap 'exit 0' INT TERM

# Ready when its health says so; it says itself why it cannot start.
until "$bin/connectorctl" status >/dev/null 2>&1; do
  if ! kill -0 "$pid" 2>/dev/null; then
    trap - EXIT
    echo "connectord did not start:"
    tail -n 5 "$data/connectord.log"
    exit 1
  fi
  sleep 0.1
done
echo "connectord serves on $server (state in $data, log in $data/connectord.log)"

if "$bin/connectorctl" connections show samples >/dev/null 2>&1; then
  echo "the connection \"samples\" is there from an earlier run: only what changed since is read"
else
  echo "making the connection \"samples\" to $library"
  "$bin/connectorctl" connections create --connector filesystem --name samples --set root="$library" >/dev/null 2>&1
fi
echo
"$bin/connectorctl" sync samples --wait
echo
"$bin/connectorctl" documents list --connection samples

[ "$once" = "--once" ] && exit 0

cat <<EOF

Try next, in another terminal (connectorctl is $bin/connectorctl):
  connectorctl documents get samples "équipe/welcome.md" --text      the text that was read
  connectorctl documents watch --connection samples                  the feed, as it changes
  touch, edit or delete a file in samples/library, then
  connectorctl sync samples --wait                                   exactly that shows in the feed
  connectorctl connections create --connector filesystem --name docs --set root=FOLDER
  connectorctl --help                                                everything else

Ctrl-C stops.
EOF
wait "$pid"
