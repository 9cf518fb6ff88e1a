// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// reaper takes away the dead supervisors that this program has started, as
// long as it lives; after that it is the system's task. One goroutine asks
// for all of them: a blocking wait would cost a thread for each.
type reaper struct {
	mu      sync.Mutex
	pids    map[int]bool
	running bool
}

// add takes over a child. The goroutine lives as long as there are children.
func (r *reaper) add(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pids == nil {
		r.pids = map[int]bool{}
	}
	r.pids[pid] = true
	if !r.running {
		r.running = true
		go r.work()
	}
}

func (r *reaper) work() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	// The tick is for a signal that came before we listened.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for r.sweep() {
		select {
		case <-died:
			// Many die together; one look is enough for them.
			time.Sleep(5 * time.Millisecond)
		case <-tick.C:
		}
	}
}

// sweep reaps who is dead. It is false, and the goroutine over, if no child
// is left.
func (r *reaper) sweep() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reap()
	r.running = len(r.pids) > 0
	return r.running
}

func (r *reaper) reap() {
	for pid := range r.pids {
		got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		if got == pid || err == syscall.ECHILD {
			delete(r.pids, pid)
		}
	}
}

// has tells whether a child lives.
func (r *reaper) has(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reap()
	return r.pids[pid]
}
