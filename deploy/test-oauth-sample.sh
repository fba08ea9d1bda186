#!/usr/bin/env bash
# Takes the walk of docs/tutorial-oauth.md as it is written, command by command, and looks at what is said. In the
# browser's place deploy/browser.sh fills in the provider's forms. Needs Node.
# Usage: deploy/test-oauth-sample.sh FOLDER-OF-BINARIES
set -euo pipefail
cd "$(dirname "$0")/.."

for program in node npm curl; do
  if ! command -v "$program" >/dev/null; then
    echo "SKIPPED: $program is not on this machine, so docs/tutorial-oauth.md is not proved"
    exit 0
  fi
done

folder=$(mktemp -d)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
export DATA_DIR=$folder/data PROVIDER_PORT ACCESS_TOKEN_SECONDS=12
PROVIDER_PORT=$(free_port)
export CONNECTORD_SERVER__CONTROL_LISTEN=127.0.0.1:$port CONNECTORD_SERVER__PUBLIC_LISTEN=127.0.0.1:$(free_port)
export CONNECTORCTL_SERVER=http://127.0.0.1:$port
export PATH=$PWD/$1:$PATH BROWSER=$PWD/deploy/browser.sh PAGES=$folder

# In a session of its own, so that Ctrl-C can be sent to all of it, as a terminal does.
: >"$folder/served"
setsid deploy/run-oauth-sample.sh "$1" >"$folder/served" 2>&1 &
serving=$!
stop() {
  kill -INT -- "-$serving" 2>/dev/null || true
  wait "$serving" 2>/dev/null || true
}
trap 'stop; rm -rf "$folder"' EXIT
until grep -q "Ctrl-C stops both" "$folder/served"; do
  kill -0 "$serving" 2>/dev/null || { cat "$folder/served"; exit 1; }
  sleep 0.1
done

# The tutorial's commands, in order. Each is taken once, and all of them have to be.
mapfile -t walk < <(sed -n 's/^\$ //p' docs/tutorial-oauth.md)
next=0
# Runs the next one, which has to be this; what it says is in $folder/said. $expected is its exit code.
walk() {
  local written=${walk[$next]:-nothing more} command status=0
  next=$((next + 1))
  if [ "$written" != "$1" ]; then
    printf 'the tutorial goes on with\n  %s\nand its test with\n  %s\n' "$written" "$1"
    exit 1
  fi
  command=${1//127.0.0.1:7080/127.0.0.1:$PROVIDER_PORT}
  command=${command//.data\/oauth/$DATA_DIR}
  timeout 120 bash -c "set -o pipefail; $command" >"$folder/said" 2>&1 || status=$?
  if [ "$status" != "${expected:-0}" ]; then
    echo "\"$1\" ended with $status:"
    cat "$folder/said"
    tail -n 20 "$DATA_DIR/connectord.log" "$DATA_DIR/provider.log"
    exit 1
  fi
}
says() {
  if ! grep -qE -- "$1" "${2:-$folder/said}"; then
    echo "expected \"$1\" in:"
    cat "${2:-$folder/said}"
    exit 1
  fi
}
says_not() {
  if grep -qE -- "$1" "${2:-$folder/said}"; then
    echo "did not expect \"$1\" in:"
    cat "${2:-$folder/said}"
    exit 1
  fi
}

walk 'printf %s sample-secret-of-this-machine-only | connectorctl oauth-apps create oauth-sample --client-id sample-client --client-secret-file -'
says '^secret +stored'
says "^redirect URI +http://$CONNECTORD_SERVER__PUBLIC_LISTEN/oauth/callback"
says_not 'sample-secret'

walk 'connectorctl connections create --connector oauth-sample --name profile --set issuer=127.0.0.1:7080'
says '^state +needs credential'
# Who refuses is told so, and nothing is connected.
if PERSON=alex ANSWER=refuse connectorctl credentials connect profile >"$folder/said" 2>&1; then
  echo "a refusal connects"
  exit 1
fi
says 'did not agree'
says 'You did not agree' "$folder/last.html"
PERSON=alex walk 'connectorctl credentials connect profile'
says '^state +connected'
says '^account +Alex Martin \(alex\)'
says '^scopes +openid profile email offline_access'
says 'Account connected' "$folder/last.html"

walk 'connectorctl sync profile --wait'
says '0 updated, [01] unchanged, 0 deleted'
walk 'connectorctl documents list --connection profile'
says '^Alex Martin +text/plain .* private +alex$'

# A refresh that nobody asked for: the provider gives a token, and the status tells when.
until grep -q "token for alex: refresh_token" "$DATA_DIR/provider.log"; do
  kill -0 "$serving"
  sleep 0.2
done
until connectorctl credentials status profile 2>&1 | grep -q '^refreshed'; do sleep 0.2; done
walk 'connectorctl credentials status profile'
says '^refreshed +20'
says '^next refresh +20'
walk 'connectorctl credentials refresh profile'
says '^refreshed .*\(now\)'

walk 'connectord --data-dir .data/oauth keys rotate --generate'
says '^[0-9]+ secrets were sealed again'
walk 'connectord --data-dir .data/oauth keys status'
says ' 0  seals nothing'
walk 'connectorctl sync profile --wait'
says '^state +succeeded'
connectorctl credentials refresh profile >"$folder/said" 2>&1
says '^state +connected'

walk 'connectorctl credentials revoke profile'
says '^state +revoked'
says 'a grant was revoked' "$DATA_DIR/provider.log"
expected=1 walk 'connectorctl sync profile --wait'
says 'credential revoked'
says 'reconnect the account'

PERSON=sam expected=1 walk 'connectorctl credentials connect profile'
says '^state +pending'
says '^other account +Sam Durand \(sam\)'
says 'This is another account' "$folder/last.html"
walk 'connectorctl credentials confirm profile'
says '^account +Sam Durand \(sam\)'
walk 'connectorctl sync profile --wait'
says '^state +succeeded'
walk 'connectorctl documents list --connection profile'
says '^Sam Durand '
says_not 'Alex Martin'

if [ "$next" != "${#walk[@]}" ]; then
  echo "the tutorial has a command that its test does not: ${walk[$next]}"
  exit 1
fi

# No secret in what was written.
says_not 'sample-secret|BEGIN .*KEY' "$DATA_DIR/connectord.log"
for secret in sample-secret "$(head -n 1 "$DATA_DIR/vault.key" | cut -c 1-24)"; do
  if grep -qaF -- "$secret" "$DATA_DIR"/connectord.db*; then
    echo "\"${secret:0:6}…\" is stored as it is"
    exit 1
  fi
done

# Ctrl-C stops both.
stop
if curl --silent --max-time 2 --output /dev/null "http://127.0.0.1:$PROVIDER_PORT/" || connectorctl status >/dev/null 2>&1; then
  echo "something goes on after Ctrl-C"
  exit 1
fi
echo "make run-oauth: an account is connected, refreshed, sealed again, withdrawn and replaced by another, as the tutorial says"
