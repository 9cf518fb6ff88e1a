// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package frameworks holds the parallel frameworks that a cluster can speak,
// one file each: how server and workers are configured, whether the server
// answers, how many workers it knows and how a client connects.
//
// A framework is a stateless value. A new one is a file with a type that
// implements [managed.Framework] (and [managed.ServerProber] or
// [managed.WorkerCounter] where the framework can tell), and a line in all.
package frameworks

import (
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// all frameworks, in the order in which they are shown to people.
func all() []managed.Framework {
	return []managed.Framework{
		custom{},
		redisQueue{},
	}
}

// Names of all frameworks, in the order in which they are shown to people.
// The first is the default.
func Names() []string {
	var names []string
	for _, f := range all() {
		names = append(names, f.Name())
	}
	return names
}

// New gives the framework of that name. An unknown name is an error of
// ClassInvalid about the attribute "framework".
func New(name string) (managed.Framework, error) {
	for _, f := range all() {
		if f.Name() == name {
			return f, nil
		}
	}
	return nil, managed.Errorf(managed.ClassInvalid, "framework",
		"there is no framework %q: choose one of %s", name, strings.Join(Names(), ", "))
}

// hardware that a server and a worker get where the user asks for none: what
// the R package's makeDockerCluster gives them.
func hardware(role managed.Role) managed.Hardware {
	if role == managed.RoleServer {
		return managed.Hardware{CPU: 256, Memory: 2048}
	}
	return managed.Hardware{CPU: 1024, Memory: 2048}
}

// How a container is asked to leave unless its framework knows better.
const (
	stopSignal = "SIGTERM"
	stopGrace  = 10 * time.Second
)
