// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/docker"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// flagSet makes an empty set that leaves all talking to us.
func (c command) flagSet() *flag.FlagSet {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

// parse reads flags wherever they stand, and gives the other arguments. After
// "--" there are no more flags.
func parse(f *flag.FlagSet, args []string) (positional []string, err error) {
	var literal []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, literal = args[:i], args[i+1:]
	}
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return append(positional, literal...), nil
		}
		positional = append(positional, f.Arg(0))
		args = f.Args()[1:]
	}
}

// The variables that stand in for flags.
const (
	backendVariable     = "DOCKERPARALLEL_BACKEND"
	processRootVariable = "DOCKERPARALLEL_PROCESS_ROOT"
)

// backendFlags say which backend to look at.
type backendFlags struct {
	name          string
	processRoot   string
	dockerHost    string
	dockerContext string
}

func (b *backendFlags) register(f *flag.FlagSet) {
	f.StringVar(&b.name, "backend", os.Getenv(backendVariable),
		"the backend to look at, one of "+strings.Join(backends.Names(), ", ")+"; the variable "+backendVariable+" sets it, too; without it, "+
			backends.Default+", or "+process.Name+" if --process-root is given")
	f.StringVar(&b.dockerHost, "docker-host", "",
		"the `address` of the engine, as the provider's docker.host says; without it, what the docker program would use (DOCKER_HOST, ...)")
	f.StringVar(&b.dockerContext, "docker-context", "", "the `name` of a Docker context, as the provider's docker.context says")
	f.StringVar(&b.processRoot, "process-root", os.Getenv(processRootVariable),
		"the `folder` in which the process backend keeps its records, as the provider's process.root says; "+
			"without it, $XDG_STATE_HOME/dockerparallel; the variable "+processRootVariable+" sets it, too")
}

// open makes the backend. It makes no connection.
func (b *backendFlags) open() (managed.Backend, error) {
	var c backends.Config
	switch b.chosen() {
	case docker.Name:
		c.Docker = &docker.Config{Config: b.engine()}
	case process.Name:
		c.Process = &process.Config{Root: b.processRoot}
	default:
		return nil, usagef("there is no backend %q: choose one of %s", b.name, strings.Join(backends.Names(), ", "))
	}
	return backends.New(c)
}

// engine that the docker backend works with.
func (b *backendFlags) engine() engine.Config {
	return engine.Config{Host: b.dockerHost, Context: b.dockerContext}
}

// chosen is the backend's name.
func (b *backendFlags) chosen() string {
	switch {
	case b.name != "":
		return b.name
	case b.processRoot != "":
		return process.Name
	}
	return backends.Default
}

// manager works on that backend.
func (b *backendFlags) manager(owner string) (*managed.Manager, error) {
	backend, err := b.open()
	if err != nil {
		return nil, err
	}
	return managed.NewManager(managed.Decorate(backend, managed.Retry(managed.DefaultRetry())), managed.Options{Owner: owner}), nil
}

// describe names the backend for messages.
func (b *backendFlags) describe() string {
	switch name := b.chosen(); {
	case name == process.Name && b.processRoot != "":
		return fmt.Sprintf("the backend %q with the folder %s", name, b.processRoot)
	case name == docker.Name && b.dockerHost != "":
		return fmt.Sprintf("the backend %q at %s", name, b.dockerHost)
	default:
		return fmt.Sprintf("the backend %q", name)
	}
}

// arguments that choose the same backend again, for commands that we suggest.
func (b *backendFlags) arguments() string {
	args := ""
	if b.name != os.Getenv(backendVariable) {
		args += " --backend " + quoteSh(b.name)
	}
	if b.dockerHost != "" {
		args += " --docker-host " + quoteSh(b.dockerHost)
	}
	if b.dockerContext != "" {
		args += " --docker-context " + quoteSh(b.dockerContext)
	}
	if b.processRoot != os.Getenv(processRootVariable) {
		args += " --process-root " + quoteSh(b.processRoot)
	}
	return args
}

// optional is a text flag that knows whether it was given: an empty owner is
// not the same as any owner.
type optional struct {
	value string
	given bool
}

func (o *optional) String() string { return o.value }

// Set implements flag.Value.
func (o *optional) Set(s string) error {
	o.value, o.given = s, true
	return nil
}

// matches tells whether the flag lets a value pass.
func (o *optional) matches(s string) bool { return !o.given || o.value == s }

// age is a duration flag that knows days, too.
type age struct {
	value time.Duration
	given bool
}

func (a *age) String() string {
	if !a.given {
		return ""
	}
	return a.value.String()
}

// Set implements flag.Value.
func (a *age) Set(s string) error {
	var err error
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		a.value = time.Duration(n * 24 * float64(time.Hour))
	} else {
		a.value, err = time.ParseDuration(s)
	}
	if err != nil || a.value < 0 {
		return fmt.Errorf("%q is no age such as 30m, 2h or 7d", s)
	}
	a.given = true
	return nil
}
