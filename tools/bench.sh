#!/bin/sh
# Measures: first the core's Go benchmarks (kept in bin/bench.txt), then whole clusters, through ./internal/benchmark.
# With OLD=<the bin/bench.txt of another revision> it compares the two; COUNT=10 gives a comparison enough samples.
set -eu
cd "$(dirname "$0")/.."

mkdir -p bin
go test -run '^$' -bench . -benchmem -count "${COUNT:-1}" ./internal/managed/... >bin/bench.txt || {
	cat bin/bench.txt
	exit 1
}
cat bin/bench.txt
if [ -n "${OLD:-}" ]; then
	make -s bin/benchstat
	bin/benchstat "$OLD" bin/bench.txt
fi

go run ./internal/benchmark "$@"
