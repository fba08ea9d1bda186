#!/usr/bin/env bash
# Serves connectord and, beside it, an OpenID provider to connect accounts to; `make run-oauth` calls it, and
# docs/tutorial-oauth.md says what to do then. Ctrl-C stops both.
# Usage: deploy/run-oauth-sample.sh FOLDER-OF-BINARIES
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$1
data=${DATA_DIR:-.data/oauth}
server=${CONNECTORCTL_SERVER:-http://127.0.0.1:7070}
public=${CONNECTORD_SERVER__PUBLIC_LISTEN:-127.0.0.1:7071}
provider_port=${PROVIDER_PORT:-7080}
export CONNECTORCTL_SERVER=$server

for program in node npm; do
  if ! command -v "$program" >/dev/null; then
    echo "$program is missing, which the sample's provider runs on: install Node.js 22 or newer, then run this again"
    exit 1
  fi
done

# The provider's packages are installed once for each state of the lock file.
provider=target/oidc-provider
mkdir -p "$provider" "$data"
cp samples/oidc-provider/*.mjs samples/oidc-provider/package.json "$provider/"
if ! cmp -s samples/oidc-provider/package-lock.json "$provider/installed.json"; then
  echo "installing the provider's packages…"
  cp samples/oidc-provider/package-lock.json "$provider/"
  (cd "$provider" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --silent)
  cp "$provider/package-lock.json" "$provider/installed.json"
fi

started=()
stop() {
  trap - EXIT INT TERM
  [ ${#started[@]} -eq 0 ] || kill -TERM "${started[@]}" 2>/dev/null || true
  wait
}
trap stop EXIT
trap 'exit 0' INT TERM

# Starts a program that says in $1 how it does, and waits until the rest of the arguments succeed.
await() {
  local name=$1 pid=$2 log=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$pid" 2>/dev/null; then
      echo "$name did not start:"
      tail -n 5 "$log"
      exit 1
    fi
    sleep 0.1
  done
}

PORT=$provider_port REDIRECT_URI=http://$public/oauth/callback node "$provider/provider.mjs" >"$data/provider.log" 2>&1 &
started+=($!)
await "the provider" $! "$data/provider.log" grep -q "serves on" "$data/provider.log"

# What an operator decides: here providers may be on this machine, by http, and at this port.
export CONNECTORD_OAUTH__ALLOW_LOOPBACK=true CONNECTORD_OAUTH__ALLOWED_HOSTS="[\"127.0.0.1:$provider_port\"]"
"$bin/connectord" --data-dir "$data" --connectors-dir "$bin/connectors" 2>"$data/connectord.log" &
started+=($!)
await connectord $! "$data/connectord.log" "$bin/connectorctl" status

cat <<EOF
connectord serves on $server (state in $data, log in $data/connectord.log)
the provider serves on http://127.0.0.1:$provider_port (log in $data/provider.log)

docs/tutorial-oauth.md goes on from here, in another terminal. Ctrl-C stops both.
EOF
wait -n "${started[@]}" || true
echo "one of them has ended: see their logs"
exit 1
