// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

const (
	// dieTime is how long a process may take to die of SIGKILL: longer only
	// if it hangs in the kernel.
	dieTime = 10 * time.Second
	// lateTime is the same after the caller gave up.
	lateTime = 2 * time.Second
)

// Kill implements [managed.Backend]. When it returns nil, all processes of
// the containers and all their files are gone. If ctx ends first, it gives
// them no more grace.
func (b *Backend) Kill(ctx context.Context, handles []managed.Handle) error {
	found, err := b.find(handles, false)
	if err != nil {
		return err
	}
	entries := make([]*entry, 0, len(found))
	seen := map[string]bool{}
	for _, e := range found {
		if !seen[e.dir] { // two handles may name one container
			seen[e.dir] = true
			entries = append(entries, e)
		}
	}
	errs := b.stop(ctx, entries)
	for h, e := range found {
		if failed := errs[e.handle()]; failed != nil {
			errs[h] = failed
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// victim is a container on its way out.
type victim struct {
	*entry
	// ours is true once its supervisor or its worker was seen alive: from
	// then on the session's number is not given to anyone else as long as
	// the session has a member.
	ours     bool
	asked    bool
	killAt   time.Time // when its grace is over
	giveUpAt time.Time
	worker   procInfo // zero if dead
	super    procInfo // zero if dead
}

// stop ends containers side by side and removes their files. The result is
// empty if all went well.
func (b *Backend) stop(ctx context.Context, entries []*entry) managed.HandleErrors {
	errs := managed.HandleErrors{}
	boot, err := b.table.boot()
	if err != nil {
		for _, e := range entries {
			errs[e.handle()] = err
		}
		return errs
	}
	var alive, dead []*victim
	for _, e := range entries {
		switch err := b.announce(e); {
		case errors.Is(err, fs.ErrNotExist): // removed by someone else
			b.known.drop(e)
		case err != nil:
			errs[e.handle()] = err
		case b.elsewhere(e):
			errs[e.handle()] = managed.Errorf(managed.ClassPermission, "process.root",
				"the process was started on another machine, %s, and can only be removed from there (if that machine is no more, remove %s)", e.rec.Host, e.dir)
		case e.rec.Boot != boot:
			dead = append(dead, &victim{entry: e}) // no process of it can be left
		default:
			alive = append(alive, &victim{entry: e})
		}
	}
	b.bury(dead, errs)
	wait := time.Millisecond
	for len(alive) > 0 {
		if alive, err = b.stopRound(ctx, alive, errs); err != nil {
			for _, v := range alive {
				errs[v.handle()] = err
			}
			return errs
		}
		if len(alive) > 0 {
			// After ctx has ended nothing is waited for but death, which is quick.
			pause(context.WithoutCancel(ctx), wait)
			wait = min(2*wait, 20*time.Millisecond)
		}
	}
	return errs
}

// announce tells shells that are still starting to leave, and reads how far
// they have come; see shim.go for why in this order.
func (b *Backend) announce(e *entry) error {
	if !e.run.worker.known() {
		f, err := os.OpenFile(filepath.Join(e.dir, stopFile), os.O_CREATE|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil {
			return fileError(err, "stopping a process")
		}
		_ = f.Close()
	}
	return b.readRun(e)
}

// stopRound looks at all victims once, does what is due, and returns those
// that are left. The error is for all of these.
func (b *Backend) stopRound(ctx context.Context, victims []*victim, errs managed.HandleErrors) ([]*victim, error) {
	var pids []int
	for _, v := range victims {
		if !v.run.worker.known() { // a shell may have become a worker since
			if err := b.readRun(v.entry); err != nil {
				return victims, err
			}
		}
		pids = append(pids, v.run.worker.pid, v.run.supervisor.pid)
	}
	live, err := b.table.lookup(known(pids))
	if err != nil {
		return victims, err
	}
	var left, quiet []*victim
	for _, v := range victims {
		v.see(live)
		if v.worker.pid == 0 && v.super.pid == 0 {
			quiet = append(quiet, v)
			continue
		}
		v.act(ctx)
		left = append(left, v)
	}
	if len(quiet) > 0 {
		// Their first processes are gone; descendants may be left.
		members, err := b.scans.members(b.table)
		if err != nil {
			return victims, err
		}
		var gone []*victim
		for _, v := range quiet {
			if rest := v.own(members); len(rest) > 0 {
				if err := v.killAll(ctx, b.table, rest); err != nil {
					return victims, err
				}
				left = append(left, v)
				continue
			}
			gone = append(gone, v)
		}
		b.bury(gone, errs)
	}
	now := time.Now()
	remaining := left[:0]
	for _, v := range left {
		if !v.giveUpAt.IsZero() && now.After(v.giveUpAt) {
			errs[v.handle()] = managed.Errorf(managed.ClassUnknown, "",
				"the process %d does not die of SIGKILL (it hangs in the system, or is not ours to kill)", max(v.run.worker.pid, v.run.supervisor.pid))
			continue
		}
		remaining = append(remaining, v)
	}
	return remaining, nil
}

// see takes from the process table what is verified to be this container's.
func (v *victim) see(live map[int]procInfo) {
	v.worker, v.super = procInfo{}, procInfo{}
	if info := live[v.run.worker.pid]; v.run.worker.is(info) {
		v.worker = info
		v.ours = v.ours || info.session == v.run.supervisor.pid
	}
	if info := live[v.run.supervisor.pid]; v.run.supervisor.is(info) {
		v.super = info
		v.ours = true
	}
}

// act sends what is due: the stop signal once, SIGKILL after the grace, and
// that again, as a process may have forked meanwhile.
func (v *victim) act(ctx context.Context) {
	now := time.Now()
	if !v.asked {
		v.asked = true
		v.killAt = now.Add(v.rec.StopGrace)
		sig, err := parseSignal(v.rec.StopSignal)
		if err != nil {
			sig = syscall.SIGTERM
		}
		// Without a worker no program runs that could make use of a grace.
		if v.worker.pid != 0 && ctx.Err() == nil && v.rec.StopGrace > 0 {
			// To the program alone, as an engine signals a container's first
			// process: what it has started, it stops as it sees fit. A worker that
			// finishes its task would be worse off if the task got the signal, too.
			_ = syscall.Kill(v.worker.pid, sig)
			return
		}
		v.killAt = now
	}
	if ctx.Err() != nil || !now.Before(v.killAt) {
		v.dueBy(ctx, now)
		v.killGroup()
	}
}

func (v *victim) dueBy(ctx context.Context, now time.Time) {
	if v.giveUpAt.IsZero() {
		v.giveUpAt = now.Add(dieTime)
	}
	if late := now.Add(lateTime); ctx.Err() != nil && late.Before(v.giveUpAt) {
		v.giveUpAt = late
	}
}

// killGroup reaches the container's group, and its worker if that has left the
// group. Failures show in that the process stays.
func (v *victim) killGroup() {
	group := v.run.supervisor.pid
	if group > 1 && (v.super.pid != 0 || v.worker.pid != 0 && v.worker.group == group) {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
	if v.worker.pid != 0 && v.worker.group != group {
		_ = syscall.Kill(v.worker.pid, syscall.SIGKILL)
	}
}

// own are the processes that belong to the container: by the mark in their
// environment, wherever they went, or by its session.
func (v *victim) own(members []procInfo) []procInfo {
	var own []procInfo
	for _, m := range members {
		inSession := v.ours && m.session == v.run.supervisor.pid
		if !m.dead && (m.mark == v.id || inSession) {
			own = append(own, m)
		}
	}
	return own
}

// killAll kills descendants that outlived the worker. They are looked up once
// more: the list of members may be some milliseconds old.
func (v *victim) killAll(ctx context.Context, table procTable, own []procInfo) error {
	v.dueBy(ctx, time.Now())
	pids := make([]int, len(own))
	for i, m := range own {
		pids[i] = m.pid
	}
	live, err := table.lookup(pids)
	if err != nil {
		return err
	}
	for _, m := range own {
		if now := live[m.pid]; now.start == m.start && m.pid > 1 && m.pid != os.Getpid() {
			_ = syscall.Kill(m.pid, syscall.SIGKILL)
		}
	}
	return nil
}

// bury removes the files of containers without processes.
func (b *Backend) bury(victims []*victim, errs managed.HandleErrors) {
	failed := make([]error, len(victims))
	_ = sideBySide(len(victims), func(i int) error {
		failed[i] = victims[i].remove()
		return nil
	})
	for i, v := range victims {
		if failed[i] != nil {
			errs[v.handle()] = failed[i]
			continue
		}
		b.known.drop(v.entry)
	}
}

// scanner lets calls that run at once share a look at all processes.
type scanner struct {
	mu     sync.Mutex
	begun  time.Time
	result []procInfo
}

// members are the processes at a moment after the call began.
func (s *scanner) members(table procTable) ([]procInfo, error) {
	called := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun.After(called) {
		return s.result, nil
	}
	begun := time.Now()
	result, err := table.members()
	if err != nil {
		return nil, err
	}
	s.begun, s.result = begun, result
	return result, nil
}
