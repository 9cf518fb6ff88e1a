#!/bin/sh
# Prints the path of the Terraform CLI to use: $TF_ACC_TERRAFORM_PATH, else "terraform" or "tofu" from PATH, else an OpenTofu
# built from tools/tofu. "find-cli.sh pinned" goes straight to that last one, whose version is the same on every machine.
# Only the path goes to stdout.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
oldest=11 # 1.11 is the first release, of Terraform and of OpenTofu, that the provider's tests can use (write-only attributes)

say() { echo "find-cli: $*" >&2; }

# A CLI with a broken or unusual configuration prints warnings before its version, hence the neutral configuration and the search.
version() {
	CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE="$root/tools/terraformrc" "$1" version 2>/dev/null |
		sed -nE 's/^(Terraform|OpenTofu) v([0-9][^ ]*)$/\2/p'
}

new_enough() {
	case $1 in
	1.*) minor=${1#1.} && [ "${minor%%.*}" -ge "$oldest" ] ;;
	[2-9].*) true ;;
	*) false ;;
	esac
}

pinned() {
	want=$(sed -n 's|^.*github.com/opentofu/opentofu v\([0-9.]*\).*$|\1|p' "$root/tools/tofu/go.mod")
	if [ ! -x "$root/bin/tofu" ] || [ "$(version "$root/bin/tofu")" != "$want" ]; then
		say "building OpenTofu $want into bin/tofu from its Go module: $1."
		say "The first time this takes some minutes and about 3 GB of disk; later it is there at once."
		mkdir -p "$root/bin"
		# Without cgo no C compiler is needed; the linker flag makes it a release, not a development build.
		# The rename at the end means that nobody ever runs half a file.
		(cd "$root/tools/tofu" && CGO_ENABLED=0 GOWORK=off go build -trimpath \
			-ldflags '-s -w -X github.com/opentofu/opentofu/version.dev=no' \
			-o "$root/bin/tofu.$$" github.com/opentofu/opentofu/cmd/tofu) >&2
		mv "$root/bin/tofu.$$" "$root/bin/tofu"
	fi
	echo "$root/bin/tofu"
}

if [ "${1:-}" = pinned ]; then
	pinned "this step needs the same version everywhere"
	exit
fi

if [ -n "${TF_ACC_TERRAFORM_PATH:-}" ]; then
	path=$(command -v "$TF_ACC_TERRAFORM_PATH") || {
		say "TF_ACC_TERRAFORM_PATH is \"$TF_ACC_TERRAFORM_PATH\", which is not a program."
		exit 1
	}
	# Tests run in the folders of their packages, where a relative path would lead elsewhere.
	case $path in /*) ;; *) path=$PWD/$path ;; esac
	echo "$path"
	exit
fi

for name in terraform tofu; do
	path=$(command -v "$name") || continue
	found=$(version "$path")
	if new_enough "$found"; then
		echo "$path"
		exit
	fi
	say "$path is version ${found:-unknown}; 1.$oldest or newer is needed, so it is not used."
done

pinned "there is no Terraform or OpenTofu 1.$oldest or newer on PATH, and the tests need one"
