// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

// together is a script for sh that runs command, which is one simple command,
// DOCKERPARALLEL_WORKERS times in one container. The command finds the
// script's arguments in "$@" and which worker it is (1, 2, ...) in $worker.
//
// A single worker takes the place of the shell. Several live and die together:
// the shell, which is the one that gets the container's stop signal, hands it
// on once, as SIGTERM, and waits for all. It does the same when one of them
// fails; its exit code is then that of the first that failed. Workers that end
// with 0 by themselves leave the others alone, and the last one ends the
// container with 0.
//
// POSIX has no way to wait for whichever child ends first, so the shell looks
// every second, with a wait in between, which a signal interrupts at once. The
// first second is slept to its end: a signal could be lost on a child that
// still is a copy of this shell. (It is no plain sleep either: bash forgets a
// SIGINT that comes while a foreground program runs and is not ended by it.)
// The handler only takes a
// note, because it may run between the start of a worker and the note of its
// process id. Of later signals nothing is handed on: to many programs a second
// one means to drop everything.
//
// It runs in dash, in busybox's sh and in bash. There is no "$(" in it, not
// even "$((": that would be one of the core's references.
func together(command string) string {
	return `: "${DOCKERPARALLEL_WORKERS:?}"
run() {
  exec ` + command + `
}
worker=1
if [ "$DOCKERPARALLEL_WORKERS" -eq 1 ]; then
  run "$@"
fi
leave= code=0 running= pause=
trap 'leave=yes' TERM INT
while [ -z "$leave" ] && [ "$worker" -le "$DOCKERPARALLEL_WORKERS" ]; do
  run "$@" &
  running="$running $!"
  worker=` + "`expr \"$worker\" + 1`" + `
done
ended() {
  wait "$1" && return
  ended=$?
  leave=yes
  [ "$code" -ne 0 ] || code=$ended
}
sleep 1 &
pause=$!
while kill -0 "$pause" 2>/dev/null; do
  wait "$pause"
done
while [ -z "$leave" ] && [ -n "$running" ]; do
  sleep 1 &
  pause=$!
  wait "$pause"
  left=
  for process in $running; do
    if kill -0 "$process" 2>/dev/null; then
      left="$left $process"
    else
      ended "$process"
    fi
  done
  running=$left
done
trap '' TERM INT
for process in $running $pause; do
  kill -TERM "$process" 2>/dev/null
done
for process in $running; do
  ended "$process"
done
exit "$code"
`
}
