#!/bin/sh
# Fails if generated files differ from the committed ones; to be run right after "make generate".
set -eu
cd "$(dirname "$0")/.."

new=$(git ls-files --others --exclude-standard -- docs)
if ! git diff --exit-code -- docs examples || [ -n "$new" ]; then
	[ -z "$new" ] || printf 'not committed:\n%s\n' "$new"
	echo 'docs/ or examples/ are not up to date. Run "make generate" and commit what it changes.'
	exit 1
fi
