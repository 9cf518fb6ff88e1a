// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

// Package process runs servers and workers as processes of this machine. It
// needs nothing installed but a POSIX shell, and is what the quickstart and
// the tests use.
//
// A container is a session of processes with a folder under [Config].Root:
// its record, its log and what its supervisor, a small shell, writes down
// about it. There is no daemon, so everything is found again from the
// folders and the machine's process table; see shim.go for what a crash can
// meet.
package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Backend runs containers as local processes. Its methods may be called from
// several goroutines, and by several programs with the same root, at once.
type Backend struct {
	root     string
	shell    string
	table    procTable
	here     here
	hereOnce sync.Once
	known    index
	ports    recentPorts
	kids     reaper
	scans    scanner
	// sealed has the descriptors that we inherited closed to processes.
	sealed sync.Once
}

// here is where pids mean something.
type here struct{ machine, host string }

var (
	_ managed.Backend        = (*Backend)(nil)
	_ managed.Lister         = (*Backend)(nil)
	_ managed.Endpointer     = (*Backend)(nil)
	_ managed.PortPicker     = (*Backend)(nil)
	_ managed.Preparer       = (*Backend)(nil)
	_ managed.Preflighter    = (*Backend)(nil)
	_ managed.Validator      = (*Backend)(nil)
	_ managed.SecretStore    = (*Backend)(nil)
	_ managed.Prober         = (*Backend)(nil)
	_ managed.LogReader      = (*Backend)(nil)
	_ managed.ArtifactKiller = (*Backend)(nil)
)

// New makes a backend. It touches neither the root nor any process.
func New(cfg Config) (*Backend, error) {
	root, err := cfg.rootFolder()
	if err != nil {
		return nil, err
	}
	return &Backend{root: root, shell: shellProgram, table: newProcTable()}, nil
}

// Properties implements [managed.Backend].
func (b *Backend) Properties() managed.Properties {
	return managed.Properties{
		Name:          Name,
		Concurrency:   max(4, 2*runtime.NumCPU()),
		BatchSize:     16,
		PollInterval:  20 * time.Millisecond,
		SettleTime:    300 * time.Millisecond,
		StartDeadline: time.Minute,
		ListenAddress: localhost,
		SameLAN:       true,
		NeedsCommand:  true,
		IdempotentRun: true,
	}
}

// Status implements [managed.Backend].
func (b *Backend) Status(ctx context.Context, handles []managed.Handle) (map[managed.Handle]managed.Observation, error) {
	if err := ended(ctx, "asking for the status of processes"); err != nil {
		return nil, err
	}
	found, err := b.find(handles, true)
	if err != nil {
		return nil, err
	}
	names := make([]managed.Handle, 0, len(found))
	entries := make([]*entry, 0, len(found))
	for h, e := range found {
		names = append(names, h)
		entries = append(entries, e)
	}
	observed, err := b.observe(ctx, entries)
	if err != nil {
		return nil, err
	}
	status := make(map[managed.Handle]managed.Observation, len(found))
	for i, h := range names {
		// What was remembered may by now be another container's.
		if observed[i].Known && entries[i].matches(h) {
			status[h] = observed[i]
		}
	}
	return status, nil
}

// index remembers where the container of a handle lies, so that Status need
// not read all records. What it says is checked against the folder.
type index struct {
	mu       sync.Mutex
	byHandle map[managed.Handle]*entry
	byFolder map[string]*entry
}

func (x *index) put(e *entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byHandle == nil {
		x.byHandle, x.byFolder = map[managed.Handle]*entry{}, map[string]*entry{}
	}
	remembered := *e // a copy: the caller goes on to change its own
	x.byHandle[e.handle()], x.byFolder[e.dir] = &remembered, &remembered
}

func (x *index) get(h managed.Handle) *entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.byHandle[h]
}

// working is a container in a folder that had a worker when it was last
// read. As long as that worker lives, nothing in the folder changes.
func (x *index) working(dir string) *entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.byFolder[dir]; e != nil && e.run.worker.known() && e.run.exit == nil {
		remembered := *e
		return &remembered
	}
	return nil
}

func (x *index) drop(e *entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.byHandle, e.handle())
	delete(x.byHandle, e.provisional())
	delete(x.byFolder, e.dir)
}

// find reads the containers of handles; those that do not exist are absent.
// Trusting, it does not read again what it remembers: enough for observe,
// which reads of a container whose worker is not alive.
func (b *Backend) find(handles []managed.Handle, trusting bool) (map[managed.Handle]*entry, error) {
	if len(handles) == 0 {
		return nil, nil
	}
	if exists, err := b.checkRoot(); err != nil || !exists {
		return nil, err
	}
	fresh := make([]*entry, len(handles))
	err := sideBySide(len(handles), func(i int) error {
		remembered := b.known.get(handles[i])
		if remembered == nil {
			return nil
		}
		// A copy, as others may read the remembered one; its record never changes.
		e := *remembered
		if trusting && e.run.worker.known() {
			fresh[i] = &e
			return nil
		}
		if err := b.readRun(&e); err != nil {
			return err
		}
		if e.matches(handles[i]) {
			if _, err := os.Lstat(e.dir); err == nil {
				fresh[i] = &e
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := make(map[managed.Handle]*entry, len(handles))
	missing := map[managed.Handle]bool{}
	for i, h := range handles {
		if fresh[i] != nil {
			found[h] = fresh[i]
		} else if looksLikeHandle(h) {
			missing[h] = true
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	all, _, err := b.entries(managed.Selector{}, true)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		for _, h := range []managed.Handle{e.handle(), e.provisional()} {
			if missing[h] {
				found[h] = e
			}
		}
	}
	return found, nil
}

func (e *entry) matches(h managed.Handle) bool { return h == e.handle() || h == e.provisional() }

func looksLikeHandle(h managed.Handle) bool {
	return strings.HasPrefix(string(h), provisionalPrefix) || strings.Count(string(h), "-") == 1
}

// findOne is find for one handle that has to exist.
func (b *Backend) findOne(h managed.Handle) (*entry, error) {
	found, err := b.find([]managed.Handle{h}, false)
	if err != nil {
		return nil, err
	}
	if found[h] == nil {
		return nil, managed.Errorf(managed.ClassNotFound, "", "there is no process with the handle %s", h)
	}
	return found[h], nil
}

const (
	// startTime is how long after its record a process may take to appear.
	startTime = 5 * time.Second
	// settleTime is how long an observation waits for what a live shell is
	// about to write: a pid or an exit code.
	settleTime = 150 * time.Millisecond
)

// observe tells what the containers do. Known is false for one whose folder
// went away.
func (b *Backend) observe(ctx context.Context, entries []*entry) ([]managed.Observation, error) {
	boot, err := b.table.boot()
	if err != nil {
		return nil, err
	}
	observed := make([]managed.Observation, len(entries))
	var open []int
	for i, e := range entries {
		if e.run.exit != nil || e.rec.Boot != boot {
			observed[i] = b.judge(e, boot, false, false)
			continue
		}
		open = append(open, i)
	}
	deadline := time.Now().Add(settleTime)
	for len(open) > 0 {
		pids := make([]int, 0, len(open))
		for _, i := range open {
			pids = append(pids, entries[i].run.worker.pid)
		}
		live, err := b.table.lookup(known(pids))
		if err != nil {
			return nil, err
		}
		// Of those whose worker is not alive the supervisor says what comes.
		var quiet []int
		for _, i := range open {
			e := entries[i]
			if e.run.worker.is(live[e.run.worker.pid]) {
				observed[i] = b.judge(e, boot, true, false)
				continue
			}
			quiet = append(quiet, i)
			pids = append(pids, e.run.supervisor.pid)
		}
		if len(quiet) == 0 {
			break
		}
		open = open[:0]
		if live, err = b.table.lookup(known(pids)); err != nil {
			return nil, err
		}
		for _, i := range quiet {
			e := entries[i]
			before := e.run
			// The processes were looked at first: what a dead one has
			// written is in the file by now.
			if err := b.readRun(e); err != nil {
				return nil, err
			}
			if before.worker.known() && e.run.worker.known() && e.run.worker != before.worker {
				// The remembered container is gone, and a Run that was sent
				// again has made it anew.
				if again, err := b.load(e.place, e.id); err == nil {
					*e = *again
				}
			}
			supervised := before.supervisor.is(live[before.supervisor.pid])
			news := e.run.worker != before.worker || e.run.supervisor != before.supervisor
			coming := e.run.exit == nil && (news || supervised || e.starting())
			if coming && time.Now().Before(deadline) && ctx.Err() == nil {
				open = append(open, i)
				continue
			}
			observed[i] = b.judge(e, boot, false, supervised)
		}
		if len(open) > 0 {
			pause(ctx, 2*time.Millisecond)
		}
	}
	for i, e := range entries {
		if observed[i].Status != managed.StatusRunning {
			if _, err := os.Lstat(e.dir); errors.Is(err, fs.ErrNotExist) {
				observed[i] = managed.Observation{}
			}
		}
	}
	return observed, nil
}

// starting tells whether a container without a process may still get one.
func (e *entry) starting() bool {
	age := time.Since(e.rec.CreatedAt)
	return !e.run.supervisor.known() && age < startTime && age > -startTime
}

// judge puts what was seen of a container into words.
func (b *Backend) judge(e *entry, boot string, running, supervised bool) managed.Observation {
	o := managed.Observation{Known: true, Status: managed.StatusStopped, CreatedAt: e.rec.CreatedAt}
	if e.run.worker.known() && e.rec.Boot == boot {
		o.StartedAt = b.table.startedAt(e.run.worker.start)
	}
	switch {
	case e.run.exit != nil:
		o.ExitCode, o.FinishedAt, o.Reason = e.run.exit, e.finished, exitReason(*e.run.exit)
	case b.elsewhere(e):
		o.Status = managed.StatusRunning
		o.Node = e.rec.Host
		o.Reason = "started on another machine, " + e.rec.Host + ", and cannot be seen from here"
	case e.rec.Boot != boot:
		o.Reason = "the machine was restarted"
	case running:
		o.Status = managed.StatusRunning
	case e.run.worker.known():
		o.Reason = "ended; how is not known"
	case supervised || e.starting():
		o.Status = managed.StatusInitializing
		o.Reason = "is being started"
	default:
		o.Reason = "was never started"
	}
	return o
}

// elsewhere tells whether a record was written on another machine that
// shares the root with this one.
func (b *Backend) elsewhere(e *entry) bool {
	here := b.where()
	return here.machine != "" && e.rec.Machine != "" && here.machine != e.rec.Machine
}

// where names this machine. Where it has no lasting name (many containers
// have none), machines are not told apart.
func (b *Backend) where() here {
	b.hereOnce.Do(func() {
		id, err := os.ReadFile("/etc/machine-id")
		if err != nil {
			return
		}
		b.here.machine = strings.TrimSpace(string(id))
		b.here.host, _ = os.Hostname()
	})
	return b.here
}

func exitReason(code int) string {
	if code > 128 {
		if name := signalName(code - 128); name != "" {
			return "killed by " + name
		}
	}
	return fmt.Sprintf("exited with code %d", code)
}

// known leaves out pids that are not known.
func known(pids []int) []int {
	out := pids[:0:0]
	for _, pid := range pids {
		if pid != 0 {
			out = append(out, pid)
		}
	}
	return out
}

// pause waits; it returns early if ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
