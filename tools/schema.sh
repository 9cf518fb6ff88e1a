#!/bin/sh
# Writes the provider's schema as JSON to the file named, for tfplugindocs, which by itself would download a Terraform.
# Needs bin/terraform-provider-dockerparallel. CLI releases differ in what this JSON holds, so one pinned CLI writes it.
set -eu

out=$1
root=$(cd "$(dirname "$0")/.." && pwd)
cli=$("$root/tools/find-cli.sh" pinned)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# tfplugindocs looks the provider up under this address, whatever the real one is.
address=registry.terraform.io/hashicorp/dockerparallel
plugin=$dir/plugins/$address/0.0.1/$(go env GOOS)_$(go env GOARCH)
mkdir -p "$plugin"
cp "$root/bin/terraform-provider-dockerparallel" "$plugin/"
cat >"$dir/main.tf" <<EOF
terraform {
  required_providers {
    dockerparallel = { source = "$address" }
  }
}
EOF

export CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE="$root/tools/terraformrc"
unset TF_DATA_DIR TF_WORKSPACE TF_CLI_ARGS TF_REATTACH_PROVIDERS
"$cli" -chdir="$dir" init -no-color -plugin-dir="$dir/plugins" >"$dir/init.log" 2>&1 || {
	cat "$dir/init.log" >&2
	exit 1
}
"$cli" -chdir="$dir" providers schema -json >"$out"
