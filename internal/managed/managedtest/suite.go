// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"slices"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// T is what the suite needs of a test. [For] makes one out of a *testing.T, a
// [Report] is one that prints. If it has a method Parallel() as well, cases
// run side by side.
type T interface {
	// Run runs f as a case of its own.
	Run(name string, f func(T)) bool
	Errorf(format string, args ...any)
	// Fatalf and Skipf end the goroutine that calls them.
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Logf(format string, args ...any)
	// Cleanup calls f after the case, the last one first.
	Cleanup(f func())
	Context() context.Context
}

// testing is what a *testing.T has. Its Run hands out another *testing.T, so
// the type refers to itself; that spares the program package testing and
// its flags.
type testing[X any] interface {
	Run(name string, f func(X)) bool
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(f func())
	Context() context.Context
	Parallel()
}

// For makes a T out of a *testing.T.
func For[X testing[X]](t X) T { return adapter[X]{t} }

type adapter[X testing[X]] struct{ testing[X] }

// Run implements [T].
func (a adapter[X]) Run(name string, f func(T)) bool {
	return a.testing.Run(name, func(t X) { f(adapter[X]{t}) })
}

// Suite is what the conformance suite has to know of a backend. The commands
// have to be such as really run on it.
type Suite struct {
	// New makes a fresh client of the backend. All of them see the same world.
	New func(ctx context.Context) (managed.Backend, error)
	// Framework of the clusters; [Plain] if it is nil. If it can probe servers
	// or count workers, then the templates have to be a server and workers of it.
	Framework managed.Framework
	// Server runs until it is stopped and, if the backend has a Prober, answers
	// on its port. With port 0 each case gets a free one, where the backend can
	// find one; the image must then honour DOCKERPARALLEL_SERVER_PORT.
	Server managed.ServerSpec
	// Worker runs until it is stopped, whether there is a server or not.
	Worker managed.Template
	// FailingWorker prints FailingLine and, in a line of its own, its name
	// ($DOCKERPARALLEL_CONTAINER), and exits at once with code 3.
	FailingWorker managed.Template
	FailingLine   string
	// CompletingWorker exits at once with code 0.
	CompletingWorker managed.Template
	// Kill kills a container from outside (SIGKILL), past the backend.
	Kill func(ctx context.Context, h managed.Handle) error
	// Namespace of all that is started. A second one is made by adding "-2".
	Namespace string
	// Skip says for which cases the backend is excused, and why.
	Skip map[string]string
	// Timeout of a case; two minutes unless set.
	Timeout time.Duration
}

// testCase is one of the suite's cases.
type testCase struct {
	name  string
	needs []Capability
	run   func(*lab)
}

// Cases are the names of all cases, in their order.
func Cases() []string {
	var names []string
	for _, c := range allCases() {
		names = append(names, c.name)
	}
	return names
}

// Run runs the whole suite.
func (s *Suite) Run(t T) {
	fixed := *s
	if fixed.Framework == nil {
		fixed.Framework = Plain{}
	}
	if fixed.Timeout == 0 {
		fixed.Timeout = 2 * time.Minute
	}
	for name, reason := range fixed.Skip {
		if !slices.Contains(Cases(), name) {
			t.Errorf("there is no case %q to skip", name)
		}
		if reason == "" {
			t.Errorf("case %q is skipped without a reason", name)
		}
	}
	for _, c := range allCases() {
		t.Run(c.name, func(t T) {
			if reason, ok := fixed.Skip[c.name]; ok {
				t.Skipf("skipped: %s", reason)
			}
			if p, ok := t.(interface{ Parallel() }); ok {
				p.Parallel()
			}
			l := newLab(t, &fixed, c.name)
			for _, need := range c.needs {
				if !slices.Contains(Shown(l.can), need) {
					t.Skipf("the backend has no %s", need)
				}
			}
			c.run(l)
		})
	}
}

// Shown lists what a backend can do.
func Shown(c managed.Capabilities) []Capability {
	var shown []Capability
	for name, there := range map[Capability]bool{
		CapLister: c.Lister != nil, CapEndpointer: c.Endpointer != nil, CapPortPicker: c.PortPicker != nil,
		CapPreparer: c.Preparer != nil, CapPreflighter: c.Preflighter != nil, CapValidator: c.Validator != nil,
		CapPacker: c.Packer != nil, CapSecretStore: c.SecretStore != nil, CapProber: c.Prober != nil,
		CapLogReader: c.LogReader != nil, CapArtifactKiller: c.ArtifactKiller != nil,
	} {
		if there {
			shown = append(shown, name)
		}
	}
	slices.Sort(shown)
	return shown
}
