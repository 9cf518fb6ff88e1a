#!/bin/sh
# The quickstart: makes a cluster on this machine, runs a parallel job on it, kills a worker, heals the cluster, scales
# it, and takes it down again. `make quickstart` builds the provider and calls this with
#
#   DP_CLI           the Terraform or OpenTofu program
#   DP_PROVIDER_DIR  the folder with terraform-provider-dockerparallel
#   BACKEND          what runs the containers: "process" (default) or "docker"
#
# Everything happens in a folder of its own under $TMPDIR, which is removed at the end. With docker, so is an image, and
# containers, networks and volumes are in a namespace of their own.

set -eu
export LC_ALL=C

here=$(cd -P "$(dirname "$0")" && pwd)
owner=quickstart
namespace=default
cluster=quickstart

engine=    # the docker program; empty on the process backend
image=     # the image that the containers are made of
imported=  # "begun" as soon as the image may be there, "done" when it is
work=      # our folder; empty until there is one
root=      # that of the process backend
applied=   # set as soon as something may run
child=     # the command that runs now
step=0
title=
explained= # set when the reason of a failure has been said
started=$(date +%s)

# ---- what the person sees -------------------------------------------------------------------------------------------

bold='' green='' red='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	bold=$(printf '\033[1m') green=$(printf '\033[32m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
fi

# begin TITLE: a new step.
begin() {
	step=$((step + 1))
	title=$1
	printf '\n%s%2d. %s%s\n' "$bold" "$step" "$title" "$plain"
}

say() { printf '    %s\n' "$*"; }

# ok TEXT: a check that passed.
ok() { printf '    %sok%s  %s\n' "$green" "$plain" "$*"; }

indent() { sed 's/^/    /'; }

# fail MESSAGE [LOG]: say what went wrong, show the end of a log file, and stop.
fail() {
	printf '\n%sfailed%s in step %s (%s): %s\n' "$red" "$plain" "$step" "$title" "$1" >&2
	if [ -n "${2:-}" ] && [ -s "$2" ]; then
		printf 'The end of its output:\n' >&2
		tail -n 40 "$2" | sed 's/^/  | /' >&2
	fi
	explained=yes
	exit 1
}

# ---- running commands -----------------------------------------------------------------------------------------------

# alive_for SECONDS PID: ends a process that is still there after that time. To be run in the background.
alive_for() {
	seconds=$1
	while [ "$seconds" -gt 0 ]; do
		sleep 1
		seconds=$((seconds - 1))
	done
	kill -TERM "$2"
	sleep 5
	kill -KILL "$2"
}

# finish SECONDS PID: waits for a child, but not longer than that. Returns its exit code.
finish() {
	alive_for "$1" "$2" >/dev/null 2>&1 &
	watchdog=$!
	code=0
	wait "$2" || code=$?
	kill -KILL "$watchdog" 2>/dev/null || true # it may have inherited that TERM is ignored
	wait "$watchdog" 2>/dev/null || true
	return "$code"
}

# await: waits for the command that was just put into the background. Commands run like that, because a shell that waits
# for one in the foreground hears of a signal only when it is over.
await() {
	child=$!
	code=0
	wait "$child" || code=$?
	child=
	return "$code"
}

# openly COMMAND...: runs a command for all to see.
openly() {
	"$@" </dev/null &
	await
}

# quietly NAME COMMAND...: runs a command with its output in logs/NAME.log.
quietly() {
	log=$work/logs/$1.log
	shift
	"$@" </dev/null >"$log" 2>&1 &
	await
}

# must NAME COMMAND...: the same, and a failure ends the quickstart.
must() {
	name=$1
	shift
	quietly "$name" "$@" || fail "$name ended with exit code $?" "$work/logs/$name.log"
}

# What follows replaces the shell that it runs in, so that a signal reaches the program and not a shell around it: only for
# $(...), pipes and the background.

# tf COMMAND...: Terraform or OpenTofu, in our copy of the configuration.
tf() { exec "$DP_CLI" "-chdir=$work/config" "$@"; }

# ---- the provider's own commands (the same holds for them) ----------------------------------------------------------

dp_list() { exec "$provider" list --backend "$backend" --process-root "$root" --namespace "$namespace"; }

# Prints lines for a shell that export DOCKERPARALLEL_PASSWORD, DOCKERPARALLEL_SERVER_HOST and more.
dp_credentials() { exec "$provider" credentials --backend "$backend" --process-root "$root" --namespace "$namespace" "$cluster"; }

dp_sweep() { exec "$provider" sweep --backend "$backend" --process-root "$root" --namespace "$namespace" --owner "$owner" --yes; }

# ---- looking at the cluster -----------------------------------------------------------------------------------------

# handles: those of the workers, one on a line, sorted. A dead worker's place in the list is null.
handles() { tf output -json handles | tr -d '[]" ' | tr ',' '\n' | sed -e '/^$/d' -e '/^null$/d' | sort; }

# on_engine COMMAND...: a list of the docker program's, with nothing in it but what is of this run.
on_engine() { "$engine" "$@" --filter "label=dockerparallel.namespace=$namespace"; }

# our_pids: every process of the cluster: its program is in our folder, or it is the shell that watches over one.
our_pids() {
	if [ -r /proc/self/cmdline ]; then
		grep -lF "$work/" /proc/[0-9]*/cmdline 2>/dev/null | while IFS= read -r file; do
			pid=${file#/proc/}
			printf '%s %s\n' "${pid%/cmdline}" "$(tr '\000\n' '  ' 2>/dev/null <"$file")"
		done
	else
		ps -A -ww -o pid= -o args= 2>/dev/null || ps -A -o pid= -o args=
	fi | while read -r pid args; do
		case $args in "$work/"* | /bin/sh\ *"$root/"*) printf '%s\n' "$pid" ;; esac
	done
}

# running: what runs of the cluster, by process id or container id.
running() {
	case $backend in
	docker) on_engine ps -q --no-trunc ;;
	*) our_pids ;;
	esac
}

# is_ours ID
is_ours() { running | grep -qx "$1"; }

# id_of HANDLE: a handle of the process backend begins with the process id; on docker it is the container id.
id_of() {
	case $backend in
	docker) printf '%s\n' "$1" ;;
	*) printf '%s\n' "${1%%-*}" ;;
	esac
}

# short HANDLE: as people write it.
short() {
	case $backend in
	docker) printf '%.12s\n' "$1" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

# kill_hard ID: nobody asks it to stop first.
kill_hard() {
	case $backend in
	docker) exec "$engine" kill "$1" ;;
	*) kill -KILL "$1" ;;
	esac
}

# leftovers: whatever is there of this run.
leftovers() {
	case $backend in
	docker) on_engine ps -aq && on_engine network ls -q && on_engine volume ls -q && our_images ;;
	*) our_pids && { [ ! -e "$root" ] || find "$root" ! -type d; } ;;
	esac
}

our_images() { "$engine" images -q --filter "label=$label"; }

# lines: how many there are.
lines() { wc -l | tr -d ' '; }

# run_job ARGUMENTS...: the client. It finds the server and the password in its environment, and only there.
run_job() {
	credentials=$(dp_credentials) || exit 1
	eval "$credentials"
	exec "$program" client "$@"
}

# ---- cleaning up, whatever happens ----------------------------------------------------------------------------------

# on_signal NAME CODE: lets the running command end, then exits, which cleans up.
on_signal() {
	trap '' INT TERM HUP
	explained=yes
	printf '\nStopping (%s): what runs now may end first, then everything is removed.\n' "$1"
	if [ -n "$child" ]; then
		# A terminal sends Ctrl-C to the command as well, and a second signal would make Terraform drop everything.
		[ "$1" = Ctrl-C ] || kill -TERM "$child" 2>/dev/null || true
		finish 15 "$child" || true
	fi
	exit "$2"
}

# cleanup is what every exit goes through. From here on signals do not stop us; where Ctrl-C stops the command that we are
# waiting for, the next one does its work.
cleanup() {
	result=$?
	trap '' INT TERM HUP
	trap - EXIT
	set +e
	[ -n "$work" ] || exit "$result"

	if [ -n "$applied" ]; then
		printf '\nRemoving the cluster ...\n'
		[ "$result" -ne 1 ] || keep_container_logs
		tf destroy -auto-approve >"$work/logs/cleanup-destroy.log" 2>&1 </dev/null &
		if ! finish 60 $!; then
			dp_sweep >"$work/logs/cleanup-sweep.log" 2>&1 </dev/null &
			finish 30 $!
		fi
	fi
	case $backend in
	docker)
		remove_ours >"$work/logs/cleanup-engine.log" 2>&1 </dev/null &
		finish 60 $! || printf 'Something may be left: the engine does not do what it is asked.\n' >&2
		;;
	*) [ -z "$applied" ] || kill_ours ;;
	esac

	if [ "$result" -ne 0 ] && [ "$result" -lt 128 ]; then
		[ -n "$explained" ] || printf '\n%sfailed%s in step %s (%s)\n' "$red" "$plain" "$step" "$title" >&2
		for entry in "$work"/* "$work"/.[!.]*; do
			[ "$entry" = "$work/logs" ] || rm -rf "$entry"
		done
		printf 'Everything is removed but the logs: %s\n' "$work/logs" >&2
	else
		rm -rf "$work"
	fi
	exit "$result"
}

# keep_container_logs copies what the server and the workers have written, before destroy removes it.
keep_container_logs() {
	if [ "$backend" = docker ]; then
		on_engine ps -a --format '{{.Names}}' | while IFS= read -r name; do
			"$engine" logs "$name" >"$work/logs/container-$name" 2>&1
		done
		return
	fi
	find "$root" -type f -name log 2>/dev/null | while IFS= read -r file; do
		name=$(printf '%s' "${file#"$root"/}" | tr / -)
		cp "$file" "$work/logs/container-$name"
	done
}

# kill_ours is the last resort: no process of this folder outlives us.
kill_ours() {
	for signal in TERM TERM KILL KILL; do
		left=$(our_pids)
		[ -n "$left" ] || return 0
		for pid in $left; do kill "-$signal" "$pid" 2>/dev/null; done
		sleep 1
	done
}

# remove_ours is the same for an engine, whose image is for us to remove in any case.
remove_ours() {
	if [ -n "$applied" ]; then
		on_engine ps -aq | each "$engine" rm -f -v
		on_engine network ls -q | each "$engine" network rm
		on_engine volume ls -q | each "$engine" volume rm -f
		# The provider's empty image, through which it reads and writes volumes. Other clusters may need it.
		[ -n "$("$engine" volume ls -q --filter label=dockerparallel.managed-by)" ] ||
			"$engine" images -q --filter label=dockerparallel.managed-by | each "$engine" rmi
	fi
	remove_image
}

# remove_image removes it as soon as it is there: the engine may still be at an import that was cut off.
remove_image() {
	[ -n "$imported" ] || return 0
	tries=0
	while [ "$imported" = begun ] && [ -z "$(our_images)" ] && [ "$tries" -lt 5 ]; do
		tries=$((tries + 1))
		sleep 1
	done
	our_images | each "$engine" rmi -f
}

# each COMMAND...: runs it once for each line of the input.
each() {
	code=0
	while IFS= read -r line; do "$@" "$line" </dev/null || code=1; done
	return "$code"
}

# ---- the steps ------------------------------------------------------------------------------------------------------

backend=${BACKEND:-process}
case $backend in
process | docker) ;;
*)
	printf 'The quickstart runs on the backends process and docker, not on "%s".\n' "$backend" >&2
	exit 1
	;;
esac
if [ -z "${DP_CLI:-}" ] || [ -z "${DP_PROVIDER_DIR:-}" ]; then
	printf 'DP_CLI and DP_PROVIDER_DIR are not set. Run this by "make quickstart" in the top folder.\n' >&2
	exit 1
fi
provider=$(cd -P "$DP_PROVIDER_DIR" && pwd)/terraform-provider-dockerparallel
[ -x "$provider" ] || { printf 'There is no provider at %s. Run "make quickstart" in the top folder.\n' "$provider" >&2; exit 1; }
DP_CLI=$(command -v "$DP_CLI") || { printf 'There is no Terraform CLI at DP_CLI.\n' >&2; exit 1; }

# find_engine looks whether an engine answers, the docker program as well as the provider. It sets engine and arch.
find_engine() {
	engine=$(command -v docker || command -v podman) || {
		printf 'There is no docker program on the PATH (podman would do). BACKEND=docker makes an image with it, and kills a worker.\n' >&2
		exit 1
	}
	host=${DOCKER_HOST:-$("$engine" context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)}
	case $host in
	tcp://localhost | tcp://localhost[:/]* | tcp://127.* | tcp://\[::1\]*) ;;
	ssh://* | tcp://*)
		printf 'The engine at %s is on another machine. The client of the quickstart runs on this one, and could not reach the server.\n' "$host" >&2
		exit 1
		;;
	esac
	if ! answer=$("$engine" version 2>&1 >/dev/null) || ! answer=$(dp_list 2>&1); then
		printf 'No engine answers%s. Does it run, and may you use it? DOCKER_HOST says where it is.\n%s\n' "${host:+ at $host}" "$answer" >&2
		exit 1
	fi
	# The last one is the server's.
	target=$("$engine" version | sed -n 's|^ *OS/Arch: *||p' | tail -n 1)
	arch=${target#linux/}
	if [ -z "$target" ] || [ "$arch" = "$target" ]; then
		printf 'The engine runs programs for "%s", and not for Linux.\n' "$target" >&2
		exit 1
	fi
}
[ "$backend" != docker ] || find_engine

# Settings of yours that would change what is shown here.
unset TF_CLI_ARGS TF_CLI_ARGS_init TF_CLI_ARGS_plan TF_CLI_ARGS_apply TF_CLI_ARGS_destroy TF_CLI_ARGS_output
unset TF_WORKSPACE TF_DATA_DIR TF_PLUGIN_CACHE_DIR TF_VAR_worker_count TF_VAR_image TF_VAR_state_root

trap cleanup EXIT
trap 'on_signal Ctrl-C 130' INT
trap 'on_signal TERM 143' TERM
trap 'on_signal HUP 129' HUP

work=$(mktemp -d "${TMPDIR:-/tmp}/dockerparallel-quickstart.XXXXXX")
work=$(cd -P "$work" && pwd)
root=$work/state
program=$work/quickstart
mkdir "$work/logs" "$work/config"
if [ "$backend" = docker ]; then
	run=${work##*.}
	namespace=quickstart-$run
	label=quickstart=$run
	image=localhost/dockerparallel-quickstart:$run
fi

begin "Build the job: a server, a worker and a client in one small Go program${image:+, and an image of it}"
# build FILE [SETTING...]
build() {
	file=$1
	shift
	cd "$here"
	exec env GOWORK=off CGO_ENABLED=0 "$@" go build -trimpath -buildvcs=false -o "$file" .
}
must build build "$program"
"$program" client -h >"$work/logs/program.log" 2>&1 ||
	fail "the program does not run; set TMPDIR to a folder that programs may run from" "$work/logs/program.log"
ok "$(basename "$program")"
if [ -n "$image" ]; then
	must build-linux build "$work/quickstart-linux" GOOS=linux "GOARCH=$arch"
	archive() { exec "$program" image --program "$work/quickstart-linux" >"$work/image.tar"; }
	must image archive
	imported=begun
	must import "$engine" import --change "LABEL $label" "$work/image.tar" "$image"
	imported=done
	ok "$image, for linux/$arch"
fi

begin "Prepare $(basename "$DP_CLI"), with the provider that was built here"
cp "$here"/*.tf "$work/config/"
printf 'disable_checkpoint = true\n' >"$work/cli.tfrc"
export TF_CLI_CONFIG_FILE="$work/cli.tfrc" TF_IN_AUTOMATION=1 TF_INPUT=0
export TF_VAR_backend="$backend" TF_VAR_namespace="$namespace"
case $backend in
docker) export TF_VAR_program=/quickstart TF_VAR_image="$image" ;;
*) export TF_VAR_program="$program" TF_VAR_state_root="$root" ;;
esac
platform=$("$DP_CLI" version -json 2>/dev/null | sed -n 's/.*"platform": *"\([a-z0-9_]*\)".*/\1/p')
[ -n "$platform" ] || platform=$(go env GOOS)_$(go env GOARCH)
for host in registry.terraform.io registry.opentofu.org; do
	folder=$work/mirror/$host/dockerparallel/dockerparallel/0.0.1/$platform
	mkdir -p "$folder"
	cp "$provider" "$folder/terraform-provider-dockerparallel_v0.0.1"
done
must init tf init -no-color "-plugin-dir=$work/mirror"
ok "$("$DP_CLI" version | sed -n 1p)"

begin "Make a cluster: one server and 4 workers"
applied=yes
must apply-4 tf apply -auto-approve -no-color
sed -n '/^Apply complete/p' "$work/logs/apply-4.log" | indent
handles >"$work/handles-4"
[ "$(lines <"$work/handles-4")" -eq 4 ] || fail "the output has $(lines <"$work/handles-4") handles, not 4" "$work/logs/apply-4.log"
ok "4 workers, and a server at $(tf output -raw server_ip):$(tf output -raw server_port)"

begin "Who runs? (terraform-provider-dockerparallel list)"
must list dp_list
indent <"$work/logs/list.log"

begin "Run the job on 4 workers: 240 tasks that count prime numbers"
openly run_job --json "$work/job-4.json" || fail "the job ended with exit code $?"
ok "the answer is right"

case $backend in
docker) what=container how="$(basename "$engine") kill" ;;
*) what=process how="kill -9" ;;
esac
begin "Kill a worker ($how)"
victim=$(sed -n 1p "$work/handles-4")
id=$(id_of "$victim")
is_ours "$id" || fail "$what $id, from handle $victim, is none of ours: not killing it" "$work/logs/list.log"
must kill kill_hard "$id"
tries=0
while is_ours "$id"; do
	tries=$((tries + 1))
	[ "$tries" -le 50 ] || fail "$what $id survives $how"
	sleep 0.1 2>/dev/null || sleep 1
done
say "$what $(short "$id") is gone"

begin "What does the plan say?"
code=0
quietly plan-heal tf plan -no-color -detailed-exitcode || code=$?
[ "$code" -eq 2 ] || fail "a plan with changes ends with exit code 2; this one with $code" "$work/logs/plan-heal.log"
sed -n -e '/^  # /p' -e '/worker_count/p' -e '/^Plan:/p' "$work/logs/plan-heal.log" | indent
grep -q 'worker_count *= 3 -> 4' "$work/logs/plan-heal.log" || fail "the plan does not say worker_count = 3 -> 4" "$work/logs/plan-heal.log"
ok "one worker is missing, nothing else changes"

begin "Heal: apply again"
must apply-heal tf apply -auto-approve -no-color
handles >"$work/handles-healed"
kept=$(comm -12 "$work/handles-4" "$work/handles-healed" | lines)
new=$(comm -13 "$work/handles-4" "$work/handles-healed" | lines)
{ [ "$kept" -eq 3 ] && [ "$new" -eq 1 ]; } || fail "$new new workers and $kept old ones, not 1 and 3" "$work/logs/apply-heal.log"
ok "1 new worker ($(short "$(comm -13 "$work/handles-4" "$work/handles-healed")")); the 3 others were left alone"

begin "Scale to 8 workers (-var worker_count=8)"
must apply-8 tf apply -auto-approve -no-color -var worker_count=8
handles >"$work/handles-8"
kept=$(comm -12 "$work/handles-healed" "$work/handles-8" | lines)
new=$(comm -13 "$work/handles-healed" "$work/handles-8" | lines)
{ [ "$kept" -eq 4 ] && [ "$new" -eq 4 ]; } || fail "$new new workers and $kept old ones, not 4 and 4" "$work/logs/apply-8.log"
ok "4 new workers; the 4 others were left alone"

begin "Run the job again, on 8 workers"
openly run_job --json "$work/job-8.json" --compare "$work/job-4.json" || fail "the job ended with exit code $?"
ok "the answer is right"

begin "Is there anything left to do?"
code=0
quietly plan-empty tf plan -no-color -detailed-exitcode -var worker_count=8 || code=$?
[ "$code" -eq 0 ] || fail "a plan without changes ends with exit code 0; this one with $code" "$work/logs/plan-empty.log"
ok "the plan is empty"

begin "Take it all down (destroy)"
must destroy tf destroy -auto-approve -no-color -var worker_count=8
[ -z "$(tf state list)" ] || fail "something is left in the state" "$work/logs/destroy.log"
if [ -n "$image" ]; then
	must remove-image remove_image
fi
left=$(leftovers) || fail "no way to find out what is left"
[ -z "$left" ] || fail "something is left: $(printf '%s' "$left" | tr '\n' ' ')" "$work/logs/destroy.log"
applied=
imported=
case $backend in
docker) ok "no container, network, volume or image is left" ;;
*) ok "no process and no file is left" ;;
esac

printf '\n%sAll checks passed%s, in %s seconds.\n' "$green" "$plain" "$(($(date +%s) - started))"
