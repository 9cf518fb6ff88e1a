// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package command holds what the provider's program does for people rather
// than for Terraform: it shows clusters, hands out their credentials and
// removes what a lost state left behind.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-isatty"
)

// Program is how people call us.
const Program = "terraform-provider-dockerparallel"

// Exit codes of Run.
const (
	exitSuccess = 0
	exitFailure = 1
	exitUsage   = 2
)

// App is the program.
type App struct {
	// Version and Commit that the program was built from.
	Version string
	Commit  string
	// Terminal tells whether a person is at the other end of a stream; nil
	// asks the system.
	Terminal func(stream any) bool
}

// streams are what a command reads and writes: results to out, everything
// else (questions, hints, errors) to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal func(stream any) bool
}

// command is one of the sub-commands.
type command struct {
	name string
	// argument is the name of the one argument it takes, "" for none.
	argument string
	summary  string
	// detail is the rest of its help.
	detail string
	// hidden commands are for programs.
	hidden bool
	// flags declares the command's flags and gives what runs it.
	flags func(f *flag.FlagSet) func(ctx context.Context, s streams, argument string) error
}

// commands in the order of the help.
func (a App) commands() []command {
	return []command{
		listCommand(),
		credentialsCommand(),
		sweepCommand(),
		conformanceCommand(),
		versionCommand(a),
		servePortCommand(),
		sleepCommand(),
	}
}

// Run runs a command line without the program's name and gives the exit code:
// 0, 1 for a failure, 2 for a command line that makes no sense.
func (a App) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := streams{in: stdin, out: stdout, err: stderr, terminal: a.Terminal}
	if s.terminal == nil {
		s.terminal = isTerminal
	}
	err := a.run(ctx, s, args)
	var wrong *usageError
	switch {
	case err == nil:
		return exitSuccess
	case errors.Is(err, errReported):
		return exitFailure
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "Error: %v.\nRun \"%s help%s\" to see what there is.\n", err, Program, wrong.command)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "Interrupted: %v.\n", err)
		return exitFailure
	}
	fmt.Fprintf(stderr, "Error: %v.\n", err)
	return exitFailure
}

func (a App) run(ctx context.Context, s streams, args []string) error {
	if len(args) == 0 {
		a.printHelp(s.out)
		return nil
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return a.help(s, args[1:])
	case "-v", "-version", "--version":
		args = append([]string{"version"}, args[1:]...)
	}
	c, ok := a.find(args[0])
	if !ok {
		return &usageError{text: fmt.Sprintf("there is no command %q", args[0])}
	}
	f := c.flagSet()
	run := c.flags(f)
	positional, err := parse(f, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.printHelp(s.out)
		return nil
	case err != nil:
		return c.usage("%v", err)
	case c.argument == "" && len(positional) > 0:
		return c.usage("%s takes no argument, but there is %q", c.name, positional[0])
	case c.argument != "" && len(positional) == 0:
		return c.usage("%s needs a %s", c.name, c.argument)
	case c.argument != "" && len(positional) > 1:
		return c.usage("%s takes one %s, but there are %d", c.name, c.argument, len(positional))
	}
	argument := ""
	if c.argument != "" {
		argument = positional[0]
	}
	err = run(ctx, s, argument)
	var wrong *usageError
	if errors.As(err, &wrong) {
		wrong.command = " " + c.name
	}
	return err
}

func (a App) find(name string) (command, bool) {
	for _, c := range a.commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// errReported is a failure that a person has been told of already.
var errReported = errors.New("failed")

// usageError is a command line that makes no sense.
type usageError struct {
	text    string
	command string // with a space before it
}

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

func (c command) usage(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...), command: " " + c.name}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
