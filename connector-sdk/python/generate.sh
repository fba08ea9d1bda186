#!/usr/bin/env bash
# Writes src/superfasttt/connector/v1 anew from the contract. Usage: generate.sh PYTHON [FOLDER]
# The version is the one in requirements.lock: protobuf reads code that is older than itself, never newer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${2:-$here/src}
mkdir -p "$out"
"$1" -m grpc_tools.protoc -I "$here/../../proto" --python_out="$out" --pyi_out="$out" \
    superfasttt/connector/v1/{connector,document,errors}.proto
