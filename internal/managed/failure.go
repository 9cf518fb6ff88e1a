// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// logLines is how many of a failed container's last log lines a message shows,
// shownFailures how many failed containers.
const (
	logLines      = 10
	shownFailures = 3
)

// Failure is a container that ended although it should run.
type Failure struct {
	Handle   Handle
	Role     Role
	Workers  int
	Reason   string
	ExitCode *int
	// Log are the last lines that it printed.
	Log []string
}

// String describes the failure for people, over several lines if there is a log.
func (f Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", f.Role, f.Handle)
	if f.Workers > 1 {
		fmt.Fprintf(&b, " (with %d workers)", f.Workers)
	}
	reason := f.Reason
	if reason == "" {
		reason = "stopped"
		if f.ExitCode != nil {
			reason = fmt.Sprintf("exited with code %d", *f.ExitCode)
		}
	}
	b.WriteString(": " + reason)
	if len(f.Log) > 0 {
		b.WriteString("; its last output:\n  " + strings.Join(f.Log, "\n  "))
	}
	return b.String()
}

// ErrLaunchLost says that a server cannot come back under its old launch: the
// secret that its workers were given is not there any more.
var ErrLaunchLost = errors.New("the secret that its workers know is gone, so they could not connect to it; the next apply starts server and workers anew")

// FailedError says that a container ended although it should run.
type FailedError struct {
	Scope   Scope
	Failure Failure
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("the %s of cluster %q ended instead of working: %s", e.Failure.Role, e.Scope.Cluster, e.Failure)
}

// failure describes a container that ended. What it printed may show the
// password, and a message must not: that is what hush hides.
func (m *Manager) failure(ctx context.Context, role Role, h Handle, workers int, o Observation, hush Secret) Failure {
	ctx, cancel := m.detached(ctx)
	defer cancel()
	f := Failure{Handle: h, Role: role, Workers: workers, Reason: o.Reason, ExitCode: o.ExitCode, Log: m.tail(ctx, h, logLines)}
	for i := range f.Log {
		f.Log[i] = hush.Hide(f.Log[i])
	}
	if !o.Known {
		f.Reason = "it has disappeared"
	}
	return f
}

func (m *Manager) failed(ctx context.Context, scope Scope, h Handle, o Observation, hush Secret) error {
	return &FailedError{Scope: scope, Failure: m.failure(ctx, RoleServer, h, 0, o, hush)}
}

// notReady says that a server runs but did not answer in time.
func (m *Manager) notReady(ctx context.Context, scope Scope, h Handle, hush Secret, probe, cause error) error {
	f := m.failure(ctx, RoleServer, h, 0, Observation{Known: true, Reason: "it runs but did not answer in time"}, hush)
	if errors.Is(cause, context.Canceled) {
		f.Reason = "it did not answer yet when the operation was interrupted"
	}
	if probe != nil {
		f.Reason += fmt.Sprintf(" (%v)", probe)
	}
	return Errorf(ClassOf(cause), "", "waiting for the server of cluster %q: %s", scope.Cluster, f)
}

// ExistsError refuses to create what is there already and is not known to be
// the caller's own.
type ExistsError struct {
	Scope   Scope
	Role    Role
	Members []Member
	// External is true if the cluster is known only by a recorded server from
	// elsewhere, Owner then tells whose.
	External bool
	Owner    string
}

func (e *ExistsError) Error() string {
	if e.External {
		return fmt.Sprintf("cluster %q exists already in namespace %q, with a server from elsewhere (%s)", e.Scope.Cluster, e.Scope.Namespace, ownerText(e.Owner))
	}
	what := fmt.Sprintf("cluster %q exists already in namespace %q", e.Scope.Cluster, e.Scope.Namespace)
	if e.Role == RoleWorker {
		what = fmt.Sprintf("worker pool %q of cluster %q exists already in namespace %q", e.Scope.Pool, e.Scope.Cluster, e.Scope.Namespace)
	}
	return what + ": " + describe(e.Members)
}

// ForeignError refuses to remove a cluster in which containers of another
// owner are.
type ForeignError struct {
	Scope   Scope
	Members []Member
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("cluster %q in namespace %q holds containers of another owner: %s", e.Scope.Cluster, e.Scope.Namespace, describe(e.Members))
}

// describe names members, at most ten.
func describe(members []Member) string {
	var parts []string
	for i, c := range members {
		if i == 10 {
			parts = append(parts, fmt.Sprintf("and %d more", len(members)-i))
			break
		}
		where := string(c.Role)
		if c.Pool != "" {
			where += " of pool " + c.Pool
		}
		parts = append(parts, fmt.Sprintf("%s (%s, %s, %s)", c.Handle, where, c.Status, ownerText(c.Owner)))
	}
	return strings.Join(parts, "; ")
}

func ownerText(owner string) string {
	if owner == "" {
		return "no owner"
	}
	return "owner " + owner
}

// ShortfallError says that a pool has fewer workers than it must have.
type ShortfallError struct {
	Scope    Scope
	Wanted   int
	Min      int
	Achieved int
	// Registered is true if Achieved counts the workers that the server knows.
	Registered bool
	// RolledBack is true if what the operation started was taken back.
	RolledBack bool
	Failures   []Failure
	// Causes are the errors of the backend, if any.
	Causes []error
}

func (e *ShortfallError) Error() string {
	return fmt.Sprintf("worker pool %q of cluster %q has %s%s", e.Scope.Pool, e.Scope.Cluster, e.counts(), e.details())
}

// Unwrap gives the backend's errors, so that classes and attributes are found.
func (e *ShortfallError) Unwrap() []error { return e.Causes }

func (e *ShortfallError) counts() string {
	verb := "running"
	if e.Registered {
		verb = "registered with the server"
	}
	s := fmt.Sprintf("%d of %d workers %s", e.Achieved, e.Wanted, verb)
	if e.Min < e.Wanted {
		s += fmt.Sprintf(" (at least %d are required)", e.Min)
	}
	if e.RolledBack {
		s += "; what this operation had started was stopped again"
	}
	return s
}

func (e *ShortfallError) details() string { return details(e.Causes, e.Failures) }

// details has a line for each cause and for the first failures.
func details(causes []error, failures []Failure) string {
	var b strings.Builder
	for _, err := range causes {
		fmt.Fprintf(&b, "\n%v", err)
	}
	for i, f := range failures {
		if i == shownFailures {
			fmt.Fprintf(&b, "\nand %d more", len(failures)-i)
			break
		}
		fmt.Fprintf(&b, "\n%s", f)
	}
	return b.String()
}

// UpdateError says that an update stopped before its end, although as many
// workers run as were wanted: some are of the old spec.
type UpdateError struct {
	Scope    Scope
	Wanted   int
	Outdated int
	Failures []Failure
	Causes   []error
}

func (e *UpdateError) Error() string {
	return fmt.Sprintf("worker pool %q of cluster %q: %d of %d workers still run the old specification, because the new ones did not come up; they go on working%s",
		e.Scope.Pool, e.Scope.Cluster, e.Outdated, e.Wanted, details(e.Causes, e.Failures))
}

// Unwrap gives the backend's errors, so that classes and attributes are found.
func (e *UpdateError) Unwrap() []error { return e.Causes }
