// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Verb is a method of a backend or of one of its capabilities.
type Verb string

// The verbs.
const (
	VerbRun           Verb = "Run"
	VerbStatus        Verb = "Status"
	VerbKill          Verb = "Kill"
	VerbList          Verb = "List"
	VerbEndpoint      Verb = "Endpoint"
	VerbFreePort      Verb = "FreePort"
	VerbPrepare       Verb = "Prepare"
	VerbCleanup       Verb = "Cleanup"
	VerbPreflight     Verb = "Preflight"
	VerbPutSecret     Verb = "PutSecret"
	VerbGetSecret     Verb = "GetSecret"
	VerbDeleteSecret  Verb = "DeleteSecret"
	VerbDial          Verb = "Dial"
	VerbTail          Verb = "Tail"
	VerbKillArtifacts Verb = "KillArtifacts"
)

// Kind is a way in which a call goes wrong.
type Kind string

// The kinds.
const (
	// Fail: nothing happens but an error.
	Fail Kind = "fail"
	// Hang: no answer until the caller's context ends.
	Hang Kind = "hang"
	// Late: it works, and the answer comes after Fault.Delay.
	Late Kind = "late"
	// Wrong: it works, and the answer is not what was asked for, as
	// Fault.Lie says.
	Wrong Kind = "wrong"
	// LostReply: it works, and the answer is a transient error.
	LostReply Kind = "lostReply"
	// Partial: Run and Kill do it for the first Fault.Count containers and
	// fail for the others. Other verbs fail.
	Partial Kind = "partial"
	// Crash: from this call on, nothing that the same client asks for happens
	// or is answered, as if its process had been killed.
	Crash Kind = "crash"
)

// Lie is how an answer is wrong.
type Lie string

// The lies. Each is meant for the verbs that are named; others ignore it.
const (
	TooFew    Lie = "tooFew"    // Run, Status, List: the last one is left out
	TooMany   Lie = "tooMany"   // Run, Status, List: one more that does not exist
	Duplicate Lie = "duplicate" // Run, List: the first one twice, in Run in place of the last
	Nameless  Lie = "nameless"  // Run, List: the last one has an empty handle
	Stranger  Lie = "stranger"  // Run: the last handle does not exist; Status, List: everything there is
	NotDone   Lie = "notDone"   // Kill, DeleteSecret, Cleanup: says it did and did not
)

// Fault is one thing that goes wrong. The zero values of Verb and Call mean
// any.
type Fault struct {
	Verb Verb
	// Call is which call of the verb it is about, the first is 1; with no
	// Verb, which call of all. Calls are counted from SetFaults on.
	Call int
	Kind Kind
	// Class of the error of Fail and Partial; ClassTransient unless set.
	Class managed.Class
	// Count for Partial.
	Count int
	// Delay for Late.
	Delay time.Duration
	Lie   Lie
	// Done, with Hang and Crash: the call has had its effect.
	Done bool
}

// Affects tells whether the fault makes a difference to calls of a verb.
func (f *Fault) Affects(verb Verb) bool {
	switch {
	case f.Kind == Partial:
		return verb == VerbRun || verb == VerbKill
	case f.Kind != Wrong:
		return true
	}
	switch f.Lie {
	case TooFew, TooMany, Stranger:
		return verb == VerbRun || verb == VerbStatus || verb == VerbList
	case Duplicate, Nameless:
		return verb == VerbRun || verb == VerbList
	case NotDone:
		return verb == VerbKill || verb == VerbDeleteSecret || verb == VerbCleanup
	}
	return false
}

func (f *Fault) is(k Kind) bool { return f != nil && f.Kind == k }

func (f *Fault) lies(l Lie) bool { return f.is(Wrong) && f.Lie == l }

func (f *Fault) err(verb Verb) error {
	class := f.Class
	if class == "" {
		class = managed.ClassTransient
	}
	return managed.Errorf(class, "", "%s was made to fail (%s)", verb, f.Kind)
}

// SetFaults replaces the faults that are to come and counts calls from here.
// Of several that fit a call the first one happens.
func (m *Memory) SetFaults(faults ...Fault) {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	m.world.faults = faults
	m.world.faultBase = map[Verb]int{}
	for verb, n := range m.world.counts {
		m.world.faultBase[verb] = n
	}
}

// fault finds what goes wrong with the call that was counted last.
func (w *world) fault(verb Verb) *Fault {
	all := 0
	for v, n := range w.counts {
		all += n - w.faultBase[v]
	}
	for i := range w.faults {
		f := &w.faults[i]
		n := w.counts[verb] - w.faultBase[verb]
		if f.Verb == "" {
			n = all
		}
		if (f.Verb == "" || f.Verb == verb) && (f.Call == 0 || f.Call == n) {
			return f
		}
	}
	return nil
}

// enter counts a call and lets go wrong what goes wrong before its effect.
func (m *Memory) enter(ctx context.Context, call Call) (*Fault, error) {
	w := m.world
	w.mu.Lock()
	w.counts[call.Verb]++
	call.At = time.Now()
	w.calls = append(w.calls, call)
	f := w.fault(call.Verb)
	dead := m.crashed
	w.mu.Unlock()
	switch {
	case dead:
		return f, wait(ctx)
	case f.is(Fail), f.is(Partial) && call.Verb != VerbRun && call.Verb != VerbKill:
		return f, f.err(call.Verb)
	case f.is(Hang) && !f.Done:
		return f, wait(ctx)
	case f.is(Crash) && !f.Done:
		m.crash()
		return f, wait(ctx)
	}
	if err := sleep(ctx, w.opts.Latency); err != nil {
		return f, err
	}
	return f, ctx.Err()
}

// leave lets go wrong what goes wrong after a call's effect.
func (m *Memory) leave(ctx context.Context, verb Verb, f *Fault) error {
	switch {
	case f.is(Late):
		return sleep(ctx, f.Delay)
	case f.is(LostReply):
		return managed.Errorf(managed.ClassTransient, "", "the answer to %s was lost", verb)
	case f.is(Hang):
		return wait(ctx)
	case f.is(Crash):
		m.crash()
		return wait(ctx)
	}
	return nil
}

func (m *Memory) crash() {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	m.crashed = true
}

// wait until the caller gives up.
func wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
