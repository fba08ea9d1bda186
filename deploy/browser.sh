#!/usr/bin/env bash
# Stands in for a person at a browser: follows a link to the sample's provider, says who they are and agrees, as
# docs/tutorial-oauth.md tells people to. connectorctl opens it where BROWSER names it.
# Usage: PERSON=alex [ANSWER=agree] [PAGES=FOLDER] deploy/browser.sh LINK
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
page=$folder/page
ask() { curl --silent --show-error --location --max-time 30 --cookie "$folder/jar" --cookie-jar "$folder/jar" --output "$page" "$@"; }
# Where the page's form goes to: the last place asked, with the form's own path.
form() {
  local action
  action=$(grep -o 'action="[^"]*"' "$page" | head -n 1 | cut -d '"' -f 2)
  case $action in
    /*) echo "$origin$action" ;;
    *) echo "$action" ;;
  esac
}
origin=$(sed -E 's#^(https?://[^/]*).*#\1#' <<<"$1")

# What it came to is where the provider's forms are: a start at connectord leads to the provider.
origin=$(ask --write-out '%{url_effective}' "$1" | sed -E 's#^(https?://[^/]*).*#\1#')
ask --data-urlencode "account=$PERSON" "$(form)"
ask --data-urlencode "answer=${ANSWER:-agree}" "$(form)"
[ -z "${PAGES:-}" ] || cp "$page" "$PAGES/last.html"
