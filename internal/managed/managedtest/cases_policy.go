// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// policyCases are about what it means that fewer workers run than were wanted.
func policyCases() []testCase {
	return []testCase{
		{"minimum_is_enough", nil, minimumIsEnough},
		{"gang_soft", nil, gangSoft},
		{"gang_hard", nil, gangHard},
		{"failing_worker_is_told", nil, failingWorker},
		{"failing_server_is_told", nil, failingServer},
		{"keep_failed", nil, keepFailed},
		{"on_exit_accept", nil, onExitAccept},
		{"on_exit_replace", nil, onExitReplace},
		{"wait_for_none", nil, waitForNone},
		{"wait_for_registered", nil, waitForRegistered},
	}
}

// scarce is a pool on a backend that has no room for containers of one worker,
// as long as the switch is on. With two workers in a container, the odd one
// cannot be started.
func (l *lab) scarce() (p *pool, scarce *bool) {
	k := l.packing(2)
	scarce = new(bool)
	m := l.client(owner, &watch{run: func(_ context.Context, req managed.RunRequest, next func() ([]managed.Handle, error)) ([]managed.Handle, error) {
		if *scarce && req.Role == managed.RoleWorker && req.Spec.Workers < k {
			return nil, managed.Errorf(managed.ClassCapacity, "", "there is no room for the odd one")
		}
		return next()
	}})
	_, server := l.startServer(m, l.scope)
	p = l.pool(m, l.scope, "w", server)
	p.req.MaxWorkers = k
	return p, scarce
}

// short tells whether an operation said that it fell short.
func (l *lab) short(err error, achieved, wanted int) *managed.ShortfallError {
	var short *managed.ShortfallError
	if !errors.As(err, &short) {
		l.Fatalf("%d of %d workers run, and the operation says: %v", achieved, wanted, err)
	}
	if short.Achieved != achieved || short.Wanted != wanted {
		l.Errorf("%d of %d workers run, and the operation says %d of %d", achieved, wanted, short.Achieved, short.Wanted)
	}
	return short
}

func minimumIsEnough(l *lab) {
	p, scarce := l.scarce()
	*scarce = true
	p.req.MinWorkers = 4
	res, err := p.set(5)
	l.must(err, "SetWorkerNumber with a minimum of 4")
	if len(res.Notices) == 0 || res.Running != 4 || len(res.Slots) != 5 || len(p.containers()) != 2 {
		l.Errorf("4 of 5 workers are enough: running %d, slots %q, notices %v", res.Running, res.Slots, res.Notices)
	}
	*scarce = false
	before := p.containers()
	p.must(5) // the next one tops up
	for _, h := range before {
		if !slices.Contains(p.slots, h) {
			l.Errorf("topping up replaced %s", h)
		}
	}
}

func gangSoft(l *lab) {
	p, scarce := l.scarce()
	// On create an error would taint what works: it is a notice.
	*scarce = true
	res, err := p.set(5)
	l.must(err, "SetWorkerNumber on create")
	if len(res.Notices) == 0 || res.Running != 4 {
		l.Errorf("a create that fell short: running %d, notices %v", res.Running, res.Notices)
	}
	res, err = p.set(7) // two more fit, the odd one does not
	short := l.short(err, 6, 7)
	if short.RolledBack || res.Running != 6 || len(p.containers()) != 3 || len(short.Causes) == 0 {
		l.Errorf("soft: rolled back %t, running %d, slots %q, causes %v", short.RolledBack, res.Running, res.Slots, short.Causes)
	}
	*scarce = false
	p.must(7)
}

func gangHard(l *lab) {
	p, scarce := l.scarce()
	p.req.Gang = managed.GangHard
	p.must(2)
	before := p.containers()
	*scarce = true
	res, err := p.set(7)
	short := l.short(err, 6, 7)
	if !short.RolledBack || res.Running != 2 || !slices.Equal(p.containers(), before) || len(res.Slots) != 7 {
		l.Errorf("hard: rolled back %t, running %d, slots %q", short.RolledBack, res.Running, res.Slots)
	}
	l.eventually(l.ctx, "what was taken back is gone", func() string {
		if alive := l.alive(l.ctx, l.handlesIn(p.req.Scope)); !slices.Equal(alive, before) {
			return "alive: " + joined(alive)
		}
		return ""
	})
	*scarce = false
	p.must(7)
}

// told checks that a failure names exit code and last output.
func (l *lab) told(f managed.Failure) {
	if f.Handle == "" || f.ExitCode != nil && *f.ExitCode != 3 || f.Reason == "" && f.ExitCode == nil {
		l.Errorf("the failure of a program that exits with 3 is told as %+v", f)
	}
	if l.can.LogReader != nil && !strings.Contains(strings.Join(f.Log, "\n"), l.suite.FailingLine) {
		l.Errorf("the failure does not show the last output: %q", f.Log)
	}
	if text := f.String(); l.can.LogReader != nil && !strings.Contains(text, l.suite.FailingLine) {
		l.Errorf("the failure's text does not show the last output: %s", text)
	}
}

// prompt fails if something that cannot work was waited for.
func (l *lab) prompt(begun time.Time) {
	if took := time.Since(begun); took > 30*time.Second+l.props.SettleTime+l.props.VisibilityLag {
		l.Errorf("that a program had ended was reported after %v", took)
	}
}

func failingWorker(l *lab) {
	_, p := l.clusterWithPool(1)
	p.req.Worker = l.suite.FailingWorker
	begun := time.Now()
	_, err := p.set(2)
	l.prompt(begun)
	short := l.short(err, 0, 2)
	if len(short.Failures) != 2 {
		l.Fatalf("2 workers failed, %d failures are told: %v", len(short.Failures), err)
	}
	l.told(short.Failures[0])
	if !strings.Contains(err.Error(), string(short.Failures[0].Handle)) {
		l.Errorf("the error does not name the worker: %v", err)
	}
	if n := len(l.handlesIn(p.req.Scope)); n != 2 {
		l.Errorf("workers that fail were started %d times instead of 2", n)
	}
	// Mended, it works, and nothing of the failed ones is left.
	failed := l.handlesIn(p.req.Scope)
	p.req.Worker = l.suite.Worker
	p.must(2)
	if l.can.Lister != nil {
		l.eventually(l.ctx, "only what works is left", func() string {
			for _, c := range l.listed(p.req.Scope) {
				if slices.Contains(failed, c.Handle) {
					return string(c.Handle) + " has failed and is still there"
				}
			}
			return ""
		})
	}
}

func failingServer(l *lab) {
	m := l.client(owner, nil)
	req := l.serverRequest(l.scope)
	req.Server.Template = l.suite.FailingWorker
	begun := time.Now()
	s, err := m.RunServer(l.ctx, req)
	l.prompt(begun)
	var failed *managed.FailedError
	if !errors.As(err, &failed) {
		l.Fatalf("a server that exits at once: %+v, %v", s, err)
	}
	l.told(failed.Failure)
	l.checkNothingLeft(l.ctx, l.scope)
}

func keepFailed(l *lab) {
	_, p := l.clusterWithPool(1)
	p.req.KeepFailed = true
	p.must(2)
	dead := p.slots[0]
	l.killOutside(dead)
	p.refresh()
	p.must(2)
	if l.can.Lister != nil {
		l.eventually(l.ctx, "what failed is kept", func() string {
			seen := l.listed(p.req.Scope)
			if !slices.ContainsFunc(seen, func(c managed.Container) bool { return c.Handle == dead }) {
				return sprintf("%s is not among %d listed containers", dead, len(seen))
			}
			return ""
		})
	}
	p.destroy()
}

func onExitAccept(l *lab) {
	_, p := l.clusterWithPool(1)
	p.req.Worker, p.req.OnExit = l.suite.CompletingWorker, managed.OnExitAccept
	res, err := p.set(2)
	p.exact(2, res, err)
	l.eventually(l.ctx, "both have completed", func() string {
		if v := p.status(); v.Completed != 2 || v.Achieved != 2 {
			return sprintf("completed %d, achieved %d", v.Completed, v.Achieved)
		}
		return ""
	})
	n := l.startedSoFar()
	p.refresh()
	p.must(2)
	if l.startedSoFar() != n {
		l.Errorf("workers whose work is done were started again")
	}
	// One that is killed is missed all the same.
	p.req.Worker = l.suite.Worker
	p.req.Update.Strategy = managed.StrategyOnReplacement
	p.must(3)
	l.killOutside(p.slots[2])
	if v := p.refresh(); v.Achieved != 2 {
		l.Errorf("after a worker was killed %d are achieved, not 2", v.Achieved)
	}
	p.must(3)
}

func onExitReplace(l *lab) {
	_, p := l.clusterWithPool(1)
	p.req.Worker = l.suite.CompletingWorker
	begun := time.Now()
	_, err := p.set(1)
	l.prompt(begun)
	if short := l.short(err, 0, 1); len(short.Failures) != 1 {
		l.Errorf("one worker ended, %d failures are told", len(short.Failures))
	}
}

func waitForNone(l *lab) {
	_, p := l.clusterWithPool(1)
	p.req.WaitFor = managed.WaitForNone
	res, err := p.set(3)
	l.must(err, "SetWorkerNumber without waiting")
	if len(p.containers()) != 3 || res.Running+res.Initializing != 3 {
		l.Errorf("without waiting: slots %q, %d running, %d initializing", res.Slots, res.Running, res.Initializing)
	}
	n := l.startedSoFar()
	p.must(3)
	if l.startedSoFar() != n {
		l.Errorf("workers that are starting were not counted")
	}
}

func waitForRegistered(l *lab) {
	if _, ok := l.suite.Framework.(managed.WorkerLister); !ok {
		l.Skipf("the framework %q cannot count workers", l.suite.Framework.Name())
	}
	_, p := l.clusterWithPool(1)
	p.req.WaitFor = managed.WaitForRegistered
	p.must(3)
	p.must(4)
	p.must(1)
}
