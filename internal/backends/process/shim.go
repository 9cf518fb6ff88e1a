// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import "strings"

// shellProgram is any POSIX sh: dash, bash, busybox and ksh were thought of.
const shellProgram = "/bin/sh"

// Each container is a session of its own. Its leader is the supervisor, a
// shell that starts the worker in the foreground, waits for it, writes its
// exit code and then ends the session, as the end of a container's first
// process ends the container. It outlives the provider, so an exit code is
// known however the provider ended. It costs some 130 KB of memory beside what
// all shells share; a copy of the provider would cost megabytes.
//
// What a crash or a Kill can meet, at any moment:
//
//   - Run writes the record before it starts the supervisor, so whatever
//     runs has a record.
//   - The supervisor writes its line before it looks for the stop file, and
//     Kill writes the stop file before it looks for the line. So either the
//     supervisor sees that it has to leave, or Kill sees whom to kill. The
//     same holds for the worker's line. Where the folder is gone, a line
//     cannot be written, and the shell leaves too.
//   - The run file is made with noclobber: of two supervisors for one
//     container, which a repeated Run may start, one leaves.
//   - The worker's line is written by the very process that then becomes the
//     user's program: no moment lies between the two in which it is unknown.
//
// The user's program and its arguments are passed as arguments, never as
// shell text. The arguments of both scripts are the container's folder, the
// umask to restore, the inner script, the container's id, the shell, and then
// the program. Descriptor 3 is a pipe on which the worker's line is told to a
// Run that waits.

// The signals are caught, not ignored: the worker gets the defaults back, and
// the supervisor survives what is sent to the whole group. No & either: it
// would have the worker ignore SIGINT. Standard error of the supervisor is
// closed to the shell's own remarks ("Terminated").
const supervisorScript = `exec 4>&2 2>/dev/null
umask 077
trap : HUP INT QUIT ABRT PIPE ALRM TERM USR1 USR2 WINCH
STAMP
set -C
echo "supervisor $$ $t" >"$1/.dockerparallel.run" || exit 125
set +C
[ -e "$1/.dockerparallel.stop" ] && exit 125
"$5" -c "$3" sh "$@" 2>&4 4>&-
code=$?
exec 3>&-
echo "exit $code" >>"$1/.dockerparallel.run"
kill -KILL 0
`

// A provider that was killed no longer reads the pipe, which must not kill
// the worker.
const workerScript = `umask 077
STAMP
{ [ -e "$1/.dockerparallel.run" ] && echo "worker $$ $t" >>"$1/.dockerparallel.run"; } 2>/dev/null || exit 125
[ -e "$1/.dockerparallel.stop" ] && exit 125
trap '' PIPE
echo "$4 $$ $t" 2>/dev/null >&3
trap - PIPE
exec 3>&-
umask "$2"
shift 5
exec "$@"
`

// supervisorArgs is the supervisor's command line.
func supervisorArgs(shell, stamp, dir, umask, id string, argv []string) []string {
	args := []string{
		"sh", "-c", strings.Replace(supervisorScript, "STAMP", stamp, 1),
		"sh", dir, umask, strings.Replace(workerScript, "STAMP", stamp, 1), id, shell,
	}
	return append(args, argv...)
}
