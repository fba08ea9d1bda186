#!/usr/bin/env bash
# Measures the example beside a bare gRPC stream. Needs `mvn package` before.
set -euo pipefail
cd "$(dirname "$0")/.."
classes='target/connector/connector.jar:target/connector/lib/*'
javac -d target/bench -cp "$classes" bench/Bench.java
java -Xmx512m -cp "target/bench:$classes" com.superfasttt.tracker.Bench
