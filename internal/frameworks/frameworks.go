// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package frameworks holds the parallel frameworks that a cluster can speak,
// one file each: how server and workers are configured, whether the server
// answers, how many workers it knows and how a client connects.
//
// A framework is a stateless value. A new one is a file with a type that
// implements [managed.Framework] (and [managed.ServerProber] or
// [managed.WorkerLister] where the framework can tell), and a line in all.
package frameworks

import (
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// kind is a framework to choose.
type kind struct {
	name    string
	options []Option
	// new makes the framework with the options that a user has set, which are
	// of their types and were checked.
	new func(Values) managed.Framework
}

// all frameworks, in the order in which they are shown to people.
func all() []kind {
	return []kind{
		{name: "custom", new: func(Values) managed.Framework { return custom{} }},
		{name: "redis", new: func(Values) managed.Framework { return redisQueue{} }},
		{name: doRedis, options: rRedisOptions(), new: func(v Values) managed.Framework { return rRedis{configured{v}, doRedis} }},
		{name: redisParam, options: rRedisOptions(), new: func(v Values) managed.Framework { return rRedis{configured{v}, redisParam} }},
		{name: "rq", options: rqOptions(), new: func(v Values) managed.Framework { return rq{configured: configured{v}} }},
		{name: "celery", options: celeryOptions(), new: func(v Values) managed.Framework { return celery{configured: configured{v}} }},
		{name: "dask", options: daskOptions(), new: func(v Values) managed.Framework { return dask{configured{v}} }},
		{name: "ray", options: rayOptions(), new: func(v Values) managed.Framework { return ray{configured{v}} }},
		{name: "spark", options: sparkOptions(), new: func(v Values) managed.Framework { return spark{configured{v}} }},
	}
}

// Names of all frameworks, in the order in which they are shown to people.
// The first is the default.
func Names() []string {
	var names []string
	for _, k := range all() {
		names = append(names, k.name)
	}
	return names
}

// New gives the framework of that name with options, nil for none. An unknown
// name is an error of ClassInvalid about the attribute "framework".
func New(name string, options Values) (managed.Framework, error) {
	for _, k := range all() {
		if k.name == name {
			return k.new(options), nil
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

// coresOf all workers in a container together: whole ones, and at least one each.
func coresOf(f managed.Facts) int { return max(1, f.Workers) * max(1, f.Hardware.CPU/1024) }

// How a container is asked to leave unless its framework knows better.
const (
	stopSignal = "SIGTERM"
	stopGrace  = 10 * time.Second
)
