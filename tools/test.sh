#!/bin/sh
# Runs the tests. "test.sh" runs all of them with one Terraform CLI; "test.sh acc" runs the acceptance tests alone, with
# Terraform (where there is one) and with OpenTofu.
set -eu
cd "$(dirname "$0")/.."
root=$PWD

say() { printf '\n==> %s\n' "$*"; }

# A test must do the same on every machine: nothing of the person's own Terraform or provider settings gets through.
unset TF_CLI_ARGS TF_DATA_DIR TF_WORKSPACE TF_PLUGIN_CACHE_DIR TF_REATTACH_PROVIDERS TFC_WORKSPACE_SLUG
for name in $(env | sed -nE 's/^((DOCKERPARALLEL|TF_CLI_ARGS|TF_VAR)_[A-Za-z0-9_]*)=.*/\1/p'); do unset "$name"; done
export TF_ACC=1 CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE="$root/tools/terraformrc" GOWORK=off
# Test configurations name the provider "dockerparallel/dockerparallel" and leave the host to the CLI.
export TF_ACC_PROVIDER_NAMESPACE=dockerparallel
# For tests that run the provider as a program, and for the quickstart.
export DP_PROVIDER_BINARY="$root/bin/terraform-provider-dockerparallel" DP_PROVIDER_DIR="$root/bin"

use_cli() {
	export TF_ACC_TERRAFORM_PATH="$1" DP_CLI="$1"
	unset TF_ACC_PROVIDER_HOST
	name=$("$1" version | head -n 1)
	case $name in OpenTofu*) export TF_ACC_PROVIDER_HOST=registry.opentofu.org ;; esac
}

# The race detector needs a C compiler on most systems. A build that tries it is the only sure way to know.
race=-race
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'package main; func main() {}' >"$probe/main.go"
say "looking whether the race detector works here"
if ! go build -race -o "$probe/main" "$probe/main.go"; then
	if [ "${CI:-}" = true ]; then
		echo "It does not, and CI must not go without: install a C compiler (gcc or clang)."
		exit 1
	fi
	race=
	echo "It does not (it needs a C compiler: gcc or clang), so the tests run without it."
fi

# -count=1: what these tests find depends on the CLI, the backends and the machine, which Go's test cache knows nothing of.
# -parallel: most tests wait for engines and programs, so more run at once than there are processors.
gotest() { go test -count=1 -timeout 40m -parallel 6 $race "$@"; }

if [ "${1:-}" = acc ]; then
	terraform=$(tools/find-cli.sh)
	tofu=$(tools/find-cli.sh pinned)
	for cli in "$terraform" "$tofu"; do
		[ "$cli" != "${done:-}" ] || continue
		use_cli "$cli"
		say "acceptance tests with $name ($cli)"
		gotest -run '^TestAcc' ./...
		done=$cli
	done
	exit
fi

cli=$(tools/find-cli.sh)
use_cli "$cli"
say "the tests use $name ($cli)"

say "go vet"
go vet ./...
(cd examples/quickstart && go vet ./...)

say "the core (internal/managed), with coverage"
gotest -coverprofile=bin/managed.cover -coverpkg=./internal/managed ./internal/managed/...
covered=$(go tool cover -func=bin/managed.cover | sed -nE 's/^total:.*[^0-9.]([0-9.]+)%$/\1/p')
echo "coverage of internal/managed: $covered % (CI asks for 90 %)"
if [ "${CI:-}" = true ] && [ "${covered%.*}" -lt 90 ]; then
	echo "That is too little."
	exit 1
fi

say "everything else"
packages=$(go list ./...)
# shellcheck disable=SC2046 # one argument for each package
gotest $(echo "$packages" | grep -Ev '/internal/managed(/|$)')

say "the quickstart"
(cd examples/quickstart && gotest ./...)

say "all tests passed"
