// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/docker"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

func conformanceCommand() command {
	return command{
		name:    "conformance",
		summary: "check that a backend does what it must",
		detail: `
Runs the suite that every backend has to pass against a backend of yours, and
prints a line for each case: ok, FAIL or skip. It starts real containers, in the
namespaces NAMESPACE and NAMESPACE-2, and removes them again.

The commands are run by "sh -c" in the container; on the process backend they
all have defaults. The server has to listen on $DOCKERPARALLEL_SERVER_PORT until
it is stopped; the worker has to run until it is stopped.

Exit code 1 if a case fails.`,
		flags: func(f *flag.FlagSet) func(context.Context, streams, string) error {
			c := &conformance{}
			c.backend.register(f)
			f.StringVar(&c.namespace, "namespace", "conformance", "the `namespace` to work in")
			f.StringVar(&c.server.image, "server-image", "", "the `image` of the server")
			f.StringVar(&c.server.command, "server-command", "", "the `command` of the server")
			f.IntVar(&c.port, "port", 0, "the `port` that the server listens on; 0 is any free one, where the backend can find one")
			f.StringVar(&c.worker.image, "worker-image", "", "the `image` of the workers; it needs a sh")
			f.StringVar(&c.worker.command, "worker-command", sleepingWorker, "the `command` of a worker")
			f.StringVar(&c.kill, "kill-command", "", "the `command`, on this machine, that kills a container past the backend, with {} in place of its handle, "+
				"such as 'docker kill {}'; without it, the backend itself is asked to")
			f.StringVar(&c.cases, "cases", "", "run the cases that match this `pattern` only")
			f.IntVar(&c.atOnce, "at-once", 4, "how many cases run side by side, a `number`")
			f.DurationVar(&c.timeout, "timeout", 2*time.Minute, "the `time` that a case may take")
			f.Func("skip", "excuse the backend from a case, as `case=reason`; may be repeated", c.addSkip)
			f.BoolVar(&c.list, "list", false, "print the names of the cases and run none")
			return c.run
		},
	}
}

// sleepingWorker ends at once when it is asked to, also as the first process
// of a container, which ignores what it has no handler for.
const sleepingWorker = `trap 'exit 0' TERM INT; while :; do sleep 1 & wait $!; done`

// failingLine is what the worker that fails prints.
const failingLine = "this worker fails as it should"

type conformance struct {
	backend        backendFlags
	namespace      string
	server, worker role
	port           int
	kill           string
	cases          string
	atOnce         int
	timeout        time.Duration
	skip           map[string]string
	list           bool
}

// role is what a container is made from.
type role struct{ image, command string }

func (r role) template(command string) managed.Template {
	return managed.Template{Image: r.image, Command: []string{"sh", "-c", command}, StopGrace: 10 * time.Second}
}

func (c *conformance) addSkip(s string) error {
	name, reason, ok := strings.Cut(s, "=")
	if !ok || name == "" || reason == "" {
		return errors.New("say CASE=REASON")
	}
	if c.skip == nil {
		c.skip = map[string]string{}
	}
	c.skip[name] = reason
	return nil
}

func (c *conformance) run(ctx context.Context, s streams, _ string) error {
	if c.list {
		_, err := fmt.Fprintln(s.out, strings.Join(managedtest.Cases(), "\n"))
		return err
	}
	pattern, err := regexp.Compile(c.cases)
	if err != nil {
		return usagef("--cases is no pattern: %v", err)
	}
	suite, err := c.suite()
	if err != nil {
		return err
	}
	report := managedtest.NewReport(ctx, s.out, c.atOnce, pattern.MatchString)
	suite.Run(report)
	outcome := report.Wait()
	fmt.Fprintf(s.out, "\n%d passed, %d failed, %d skipped\n", outcome.Passed, outcome.Failed, outcome.Skipped)
	switch {
	case outcome.Failed > 0:
		return fmt.Errorf("%s does not conform: %s failed", c.backend.describe(), plural(outcome.Failed, "case"))
	case ctx.Err() != nil:
		return errors.New("the suite was not finished")
	case outcome.Passed == 0:
		return usagef("no case was run: see --list")
	}
	return nil
}

func (c *conformance) suite() (*managedtest.Suite, error) {
	server := c.server.template(c.server.command)
	if c.server.command == "" {
		switch {
		case c.server.image != "":
			server.Command = nil // the image's own
		case c.backend.chosen() == process.Name:
			self, err := os.Executable()
			if err != nil {
				return nil, fmt.Errorf("finding this program, to use it as the server: %w; set --server-command", err)
			}
			server.Command = []string{self, "serve-port"}
		default:
			return nil, usagef("say what the server is: --server-command, --server-image or both")
		}
	}
	return &managedtest.Suite{
		New:              func(context.Context) (managed.Backend, error) { return c.backend.open() },
		Server:           managed.ServerSpec{Template: server, Port: c.port, SameLAN: true},
		Worker:           c.worker.template(c.worker.command),
		FailingWorker:    c.worker.template("echo " + quoteSh(failingLine) + "; echo \"$" + managed.EnvContainer + "\"; exit 3"),
		FailingLine:      failingLine,
		CompletingWorker: c.worker.template("exit 0"),
		Kill:             c.killer(),
		Namespace:        c.namespace,
		Skip:             c.skip,
		Timeout:          c.timeout,
	}, nil
}

// killer kills a container past the backend, as far as that is possible.
func (c *conformance) killer() func(context.Context, managed.Handle) error {
	switch {
	case c.kill != "":
		return func(ctx context.Context, h managed.Handle) error {
			cmd := exec.CommandContext(ctx, "sh", "-c", strings.ReplaceAll(c.kill, "{}", quoteSh(string(h))))
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", c.kill, err, bytes.TrimSpace(out))
			}
			return nil
		}
	case c.backend.chosen() == process.Name:
		return killProcess
	case c.backend.chosen() == docker.Name:
		return c.killContainer
	}
	return func(ctx context.Context, h managed.Handle) error {
		b, err := c.backend.open()
		if err != nil {
			return err
		}
		return b.Kill(ctx, []managed.Handle{h})
	}
}

// killContainer asks the engine itself.
func (c *conformance) killContainer(ctx context.Context, h managed.Handle) error {
	e, err := engine.New(c.backend.engine())
	if err != nil {
		return err
	}
	defer e.Close()
	_, err = e.Client().ContainerKill(ctx, string(h), client.ContainerKillOptions{Signal: "KILL"})
	return err
}

// killProcess: a handle of the process backend begins with the process id.
func killProcess(_ context.Context, h managed.Handle) error {
	id, _, _ := strings.Cut(string(h), "-")
	pid, err := strconv.Atoi(id)
	if err != nil {
		return fmt.Errorf("the handle %s does not begin with a process id", h)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
