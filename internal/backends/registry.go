// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package backends knows all backends by their typed configuration. It is
// the only place that does: whoever needs a backend asks [New] for it and
// then works with [managed.Backend] alone.
package backends

import (
	"log/slog"
	"strings"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/docker"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/process"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Config chooses a backend: exactly one field is not nil.
type Config struct {
	Docker  *docker.Config
	Process *process.Config
	// Log gets a backend's progress for people; nil logs nothing.
	Log *slog.Logger
}

// Default is the backend that runs the containers where none is chosen.
const Default = docker.Name

// entry is a backend of the registry.
type entry struct {
	name string
	// open makes the backend, nil if the configuration does not choose it.
	open func() (managed.Backend, error)
}

// registry of the backends, in the order in which they are shown to people.
// A new backend adds a field to Config and an entry here.
func registry(c Config) []entry {
	all := []entry{{name: docker.Name}, {name: process.Name}}
	if c.Docker != nil {
		cfg := *c.Docker
		cfg.Log = c.Log
		all[0].open = opener(docker.New, cfg)
	}
	if c.Process != nil {
		all[1].open = opener(process.New, *c.Process)
	}
	return all
}

// opener hides a backend's own types.
func opener[C any, B managed.Backend](open func(C) (B, error), c C) func() (managed.Backend, error) {
	return func() (managed.Backend, error) {
		b, err := open(c)
		if err != nil {
			return nil, err // and not b, which would be an interface that is not nil
		}
		return b, nil
	}
}

// Names of all backends, as they are called in the provider's configuration.
func Names() []string {
	var names []string
	for _, e := range registry(Config{}) {
		names = append(names, e.name)
	}
	return names
}

// New makes the backend that c chooses. It makes no connection.
func New(c Config) (managed.Backend, error) {
	var chosen []entry
	for _, e := range registry(c) {
		if e.open != nil {
			chosen = append(chosen, e)
		}
	}
	switch len(chosen) {
	case 0:
		return nil, managed.Errorf(managed.ClassInvalid, "", "no backend is chosen: set one of %s", strings.Join(Names(), ", "))
	case 1:
		return chosen[0].open()
	}
	var names []string
	for _, e := range chosen {
		names = append(names, e.name)
	}
	return nil, managed.Errorf(managed.ClassInvalid, names[1], "several backends are chosen (%s): keep one", strings.Join(names, ", "))
}
