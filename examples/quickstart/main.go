// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Quickstart is a small parallel job for a dockerparallel cluster: a server that keeps the job queue, workers that take
// tasks from it, and a client that hands out the tasks and adds up the answers. The job counts prime numbers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9/logging"
)

const usage = `Usage: quickstart server|worker|client|image [flags]

  server   keeps the job queue (the Redis protocol, in memory)
  worker   takes tasks from the queue and works on them
  client   submits a job, waits for the answer and checks it
  image    writes a container image of this program: quickstart image | docker import - NAME

The first three read where the server is, and the password, from the environment:
  DOCKERPARALLEL_SERVER_HOST, DOCKERPARALLEL_SERVER_PORT, DOCKERPARALLEL_SERVER_PASSWORD, DOCKERPARALLEL_QUEUE
"quickstart client -h" shows the flags of a sub-command.
`

func main() {
	// go-redis logs every failed dial by itself. We say it once, in our own words.
	logging.Disable()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal ends us cleanly, a second one at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is main without the process around it. It returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}

	commands := map[string]func(context.Context, []string, func(string) string, io.Writer, io.Writer) error{
		"server": serverCommand,
		"worker": workerCommand,
		"client": clientCommand,
		"image":  imageCommand,
	}
	command, ok := commands[args[0]]
	if !ok {
		fmt.Fprint(stderr, usage)
		return 2
	}

	err := command(ctx, args[1:], getenv, stdout, stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "quickstart %s: stopped before it was done\n", args[0])
		return 130
	default:
		fmt.Fprintf(stderr, "quickstart %s: %v\n", args[0], err)
		return 1
	}
}

// newLogger writes the log lines of the long-running sub-commands.
func newLogger(w io.Writer, command string) *log.Logger {
	return log.New(w, command+": ", log.LstdFlags|log.Lmsgprefix)
}

// newFlags is a flag set that reports its errors instead of ending the process.
func newFlags(command string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("quickstart "+command, flag.ContinueOnError)
	flags.SetOutput(stderr)
	return flags
}

// parse reads the flags; there are no other arguments.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}
