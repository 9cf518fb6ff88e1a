// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

const (
	// appearTime is how long a started shell may take to name its worker.
	appearTime = 30 * time.Second
	// cancelTime is the same after the caller gave up.
	cancelTime = time.Second
)

// Run implements [managed.Backend]. It returns when each worker has its pid.
func (b *Backend) Run(ctx context.Context, req managed.RunRequest) ([]managed.Handle, error) {
	if err := ended(ctx, "starting processes"); err != nil {
		return nil, err
	}
	if req.Count < 1 {
		return nil, managed.Errorf(managed.ClassInvalid, "", "starting processes: a count of %d", req.Count)
	}
	if req.Token == "" {
		req.Token = rand.Text()
	}
	p, err := b.newPlan(req)
	if err != nil {
		return nil, err
	}
	boot, err := b.table.boot()
	if err != nil {
		return nil, err
	}
	if err := b.ensureRoot(); err != nil {
		return nil, err
	}
	b.sealed.Do(closeOnExec)
	l := &launch{b: b, p: p, boot: boot, umask: b.table.umask()}
	return l.run(ctx)
}

// launch is one call of Run.
type launch struct {
	b     *Backend
	p     *plan
	boot  string
	umask string
	null  *os.File
	// told is where the workers' shells write their lines.
	told *os.File
	// mu is for the next two while containers are started side by side.
	mu sync.Mutex
	// waiting for their pid, by id.
	waiting map[string]*pending
	handles []managed.Handle
}

// starters is how many containers of one Run are started side by side: the
// files take as long as the fork, which the system does one by one.
const starters = 4

type pending struct {
	*entry
	// supervisor that we started, 0 if another Run did.
	supervisor int
}

func (l *launch) run(ctx context.Context) ([]managed.Handle, error) {
	var err error
	if l.null, err = os.Open(os.DevNull); err != nil {
		return nil, fileError(err, "starting processes")
	}
	defer func() { _ = l.null.Close() }()
	reading, writing, err := os.Pipe()
	if err != nil {
		return nil, fileError(err, "starting processes")
	}
	defer func() { _ = reading.Close() }()
	l.told = writing
	l.waiting = map[string]*pending{}
	failed := l.startAll(ctx)
	_ = writing.Close()
	lines := make(chan string, l.p.req.Count)
	go func() { // ends with the deferred Close at the latest
		scan := bufio.NewScanner(reading)
		for n := 0; n < l.p.req.Count && scan.Scan(); n++ {
			lines <- scan.Text()
		}
	}()
	return l.handles, errors.Join(failed, l.await(ctx, lines))
}

// startAll starts one container after the other, a few at a time, until one
// fails.
func (l *launch) startAll(ctx context.Context) error {
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, min(starters, l.p.req.Count))
	var wg sync.WaitGroup
	for n := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < l.p.req.Count && !failed.Load(); i = int(next.Add(1)) - 1 {
				if errs[n] = ended(ctx, "starting processes"); errs[n] == nil {
					errs[n] = l.start(ctx, i)
				}
				if errs[n] != nil {
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err // the others failed for the same reason, or not at all
		}
	}
	return nil
}

// start makes sure of container i: that its record exists and that a
// supervisor is at work on it.
func (l *launch) start(ctx context.Context, i int) error {
	b := l.b
	id := b.containerID(l.p.req, i)
	for range attempts {
		e, err := b.load(l.p.place, id)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			for _, name := range sortedKeys(l.p.ports) {
				if err := b.checkPort(l.p.ports[name]); err != nil {
					return err
				}
			}
			e = l.newEntry(id)
			if err := e.create(); err != nil {
				if errors.Is(err, fs.ErrExist) {
					continue
				}
				return err
			}
		case errors.Is(err, errBroken):
			return managed.Errorf(managed.ClassConflict, "", "the folder %s has lost its record; remove it", e.dir)
		case err != nil:
			return err
		}
		if e.run.worker.known() { // by an earlier Run with this token
			b.known.put(e)
			l.mu.Lock()
			l.handles = append(l.handles, e.handle())
			l.mu.Unlock()
			return nil
		}
		stillborn, err := l.stillborn(e)
		if err != nil {
			return err
		}
		if stillborn {
			if errs := b.stop(ctx, []*entry{e}); len(errs) > 0 {
				return errs
			}
			continue
		}
		waiting := &pending{entry: e}
		if !e.run.supervisor.known() {
			if waiting.supervisor, err = l.spawn(e); err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					if _, statErr := os.Lstat(e.dir); statErr != nil {
						continue // removed by someone else
					}
				}
				_ = e.remove() // nothing runs in it
				return err
			}
		}
		l.mu.Lock()
		l.waiting[id] = waiting
		l.mu.Unlock()
		return nil
	}
	return managed.Errorf(managed.ClassConflict, "", "starting a process: something else keeps removing %s", filepath.Join(l.p.place.dir, id))
}

// stillborn tells whether a container that has no worker will never get one:
// it is being killed, or its supervisor died.
func (l *launch) stillborn(e *entry) (bool, error) {
	if _, err := os.Lstat(filepath.Join(e.dir, stopFile)); err == nil {
		return true, nil
	}
	if !e.run.supervisor.known() {
		return false, nil
	}
	live, err := l.b.table.lookup([]int{e.run.supervisor.pid})
	if err != nil {
		return false, err
	}
	if e.run.supervisor.is(live[e.run.supervisor.pid]) {
		return false, nil
	}
	// It may have written its last lines since.
	if err := l.b.readRun(e); err != nil {
		return false, err
	}
	return !e.run.worker.known(), nil
}

func (l *launch) newEntry(id string) *entry {
	spec := l.p.req.Spec
	sig, err := parseSignal(spec.StopSignal)
	if err != nil { // newPlan has refused it
		sig = syscall.SIGTERM
	}
	here := l.b.where()
	e := &entry{place: l.p.place, id: id, dir: filepath.Join(l.p.place.dir, id)}
	e.rec = &record{
		Version: 1, Labels: spec.Labels, Ports: l.p.ports,
		Program: l.p.program, Directory: l.p.opts.WorkingDirectory,
		StopSignal: strconv.Itoa(int(sig)), StopGrace: spec.StopGrace,
		Token: l.p.req.Token, Workers: spec.Workers, CreatedAt: time.Now(),
		Boot: l.boot, Machine: here.machine, Host: here.host,
	}
	return e
}

// spawn starts a supervisor.
func (l *launch) spawn(e *entry) (int, error) {
	log, err := os.OpenFile(filepath.Join(e.dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, fileError(err, "opening the log of a process")
	}
	defer func() { _ = log.Close() }()
	dir := l.p.opts.WorkingDirectory
	if dir == "" {
		dir = e.dir
	}
	argv := append([]string{l.p.program}, l.p.args...)
	proc, err := os.StartProcess(l.b.shell, supervisorArgs(l.b.shell, l.b.table.stamp(), e.dir, l.umask, e.id, argv), &os.ProcAttr{
		Dir:   dir,
		Env:   variables(l.p.req.Spec, l.p.opts, e.id),
		Files: []*os.File{l.null, log, log, l.told},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if errors.Is(err, syscall.E2BIG) {
		return 0, managed.Errorf(managed.ClassInvalid, "container.command", "the command and its environment are longer than this machine allows: %w", err)
	}
	if err != nil {
		return 0, fileError(err, "starting the process "+l.p.program)
	}
	pid := proc.Pid
	l.b.kids.add(pid)
	_ = proc.Release()
	return pid, nil
}

// await collects the pids. The shells tell them; the run files are looked at
// as well, for a shell that died and for one that another Run has started.
func (l *launch) await(ctx context.Context, lines <-chan string) error {
	deadline := time.Now().Add(appearTime)
	canceled := ctx.Done()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var errs []error
	for len(l.waiting) > 0 {
		select {
		case line := <-lines:
			id, rest, _ := strings.Cut(line, " ")
			if w := l.waiting[id]; w != nil {
				w.run = parseRun([]byte("worker "+rest+"\n"), l.b.table.parseStart)
				l.settle(w)
			}
		case <-canceled:
			canceled = nil
			deadline = time.Now().Add(cancelTime)
		case <-tick.C:
			for _, w := range l.waiting {
				if err := l.look(w); err != nil {
					delete(l.waiting, w.id)
					errs = append(errs, err)
				}
			}
			if time.Now().After(deadline) {
				errs = append(errs, l.giveUp(ctx))
			}
		}
	}
	return errors.Join(errs...)
}

// settle takes a container whose worker is known from the waiting ones.
func (l *launch) settle(w *pending) {
	if !w.run.worker.known() {
		return
	}
	delete(l.waiting, w.id)
	l.b.known.put(w.entry)
	l.handles = append(l.handles, w.handle())
}

// look reads a container's run file. The error is final for that container.
func (l *launch) look(w *pending) error {
	alive := w.supervisor == 0 || l.b.kids.has(w.supervisor)
	if err := l.b.readRun(w.entry); err != nil {
		return err
	}
	if l.settle(w); w.run.worker.known() {
		return nil
	}
	if _, err := os.Lstat(w.dir); err != nil {
		return managed.Errorf(managed.ClassConflict, "", "a process was removed by someone else while it started")
	}
	if alive || w.run.supervisor.known() && w.run.supervisor.pid != w.supervisor {
		return nil // in the second case the supervisor of another Run came first
	}
	_ = w.remove()
	return managed.Errorf(managed.ClassUnknown, "", "starting the process %s: its shell ended at once", l.p.program)
}

// giveUp kills what has no worker by now, as there is no handle to return.
func (l *launch) giveUp(ctx context.Context) error {
	var late []*entry
	for _, w := range l.waiting {
		late = append(late, w.entry)
	}
	clear(l.waiting)
	err := ended(ctx, "starting processes")
	if err == nil {
		err = managed.Errorf(managed.ClassDeadline, "", "starting processes: %d of them did not start within %s", len(late), appearTime)
	}
	kill, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel() // without any grace
	if errs := l.b.stop(kill, late); len(errs) > 0 {
		return errors.Join(err, errs)
	}
	return err
}

// closeOnExec closes to our children what our own parents have left open: a
// worker would otherwise hold a lock, or a pipe, of the shell that Terraform
// was started from. Go closes all that it opens itself.
func closeOnExec() {
	names, err := folderNames("/dev/fd")
	if err != nil {
		return
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
