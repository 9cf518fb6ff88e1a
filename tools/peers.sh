#!/bin/sh
# Builds what this provider is compared with, from Go's module proxy, and prints the path. "peers.sh provider" is
# terraform-provider-docker, "peers.sh compose" Docker Compose. Only the path goes to stdout.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
case ${1:-} in
provider) name=terraform-provider-docker package=github.com/terraform-providers/terraform-provider-docker ;;
compose) name=docker-compose package=github.com/docker/compose/v2/cmd ;;
*)
	echo "peers: say \"provider\" or \"compose\"" >&2
	exit 2
	;;
esac

module=$root/tools/peers/$1
program=$root/bin/$name
if [ ! -x "$program" ] || [ "$module/go.sum" -nt "$program" ]; then
	echo "peers: building $name into bin/ from its Go module; the first time this takes some minutes." >&2
	mkdir -p "$root/bin"
	# The rename at the end means that nobody ever runs half a file.
	(cd "$module" && CGO_ENABLED=0 GOWORK=off go build -trimpath -o "$program.$$" "$package") >&2
	mv "$program.$$" "$program"
fi
echo "$program"
