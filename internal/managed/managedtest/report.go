// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Report is a [T] that runs cases outside of "go test" and prints a line for
// each.
type Report struct {
	ctx   context.Context
	out   io.Writer
	match func(name string) bool
	slots chan struct{} // one for each case at work

	cases sync.WaitGroup
	mu    sync.Mutex
	count Outcome
}

var _ T = (*Report)(nil)

// Outcome counts the cases of a report.
type Outcome struct {
	Passed, Failed, Skipped int
}

// NewReport makes a report that prints to out, with at most atOnce cases side
// by side. Match, if not nil, says which cases to run; the others are not
// mentioned.
func NewReport(ctx context.Context, out io.Writer, atOnce int, match func(name string) bool) *Report {
	return &Report{ctx: ctx, out: out, match: match, slots: make(chan struct{}, max(1, atOnce))}
}

// Wait for all cases and tell their outcome.
func (r *Report) Wait() Outcome {
	r.cases.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Run implements [T].
func (r *Report) Run(name string, f func(T)) bool {
	if r.match != nil && !r.match(name) {
		return true
	}
	c := &reportedCase{report: r, name: name, moveOn: make(chan struct{}), begun: time.Now()}
	r.slots <- struct{}{}
	r.cases.Go(func() {
		defer func() { <-r.slots }()
		c.work(f)
	})
	<-c.moveOn
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.failed
}

// Errorf implements [T] for the suite itself.
func (r *Report) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count.Failed++
	r.print("FAIL  " + fmt.Sprintf(format, args...))
}

// Fatalf implements [T].
func (r *Report) Fatalf(format string, args ...any) { r.Errorf(format, args...) }

// Skipf implements [T].
func (r *Report) Skipf(format string, args ...any) { r.Logf(format, args...) }

// Logf implements [T].
func (r *Report) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print(fmt.Sprintf(format, args...))
}

// Cleanup implements [T]; the suite has nothing to clean up beside its cases.
func (r *Report) Cleanup(func()) {}

// Context implements [T].
func (r *Report) Context() context.Context { return r.ctx }

// print needs r.mu. A report that cannot be written is nobody's loss.
func (r *Report) print(line string) { _, _ = fmt.Fprintln(r.out, line) }

// reportedCase is one case of a [Report].
type reportedCase struct {
	report *Report
	name   string
	begun  time.Time
	moveOn chan struct{} // closed when the next case may start
	once   sync.Once

	mu              sync.Mutex
	failed, skipped bool
	lines           []string
	cleanups        []func()
}

// Parallel lets the next case start beside this one.
func (c *reportedCase) Parallel() { c.once.Do(func() { close(c.moveOn) }) }

// work runs the case and then its cleanups, whatever became of it.
func (c *reportedCase) work(f func(T)) {
	defer c.Parallel()
	c.guard(func() { f(c) })
	for {
		c.mu.Lock()
		n := len(c.cleanups)
		if n == 0 {
			break
		}
		last := c.cleanups[n-1]
		c.cleanups = c.cleanups[:n-1]
		c.mu.Unlock()
		c.guard(last)
	}
	defer c.mu.Unlock()
	c.report.add(c)
}

// guard runs f in a goroutine of its own, which Fatalf can end.
func (c *reportedCase) guard(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				c.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		f()
	}()
	<-done
}

// add prints a case; its lock is held.
func (r *Report) add(c *reportedCase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	word := "ok  "
	switch {
	case c.failed:
		word = "FAIL"
		r.count.Failed++
	case c.skipped:
		word = "skip"
		r.count.Skipped++
	default:
		r.count.Passed++
	}
	line := fmt.Sprintf("%s  %s (%.2fs)", word, c.name, time.Since(c.begun).Seconds())
	for _, l := range c.lines {
		line += "\n      " + strings.ReplaceAll(l, "\n", "\n      ")
	}
	r.print(line)
}

// Run implements [T].
func (c *reportedCase) Run(name string, f func(T)) bool {
	return c.report.Run(c.name+"/"+name, f)
}

// Errorf implements [T].
func (c *reportedCase) Errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = true
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

// Fatalf implements [T].
func (c *reportedCase) Fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf implements [T].
func (c *reportedCase) Skipf(format string, args ...any) {
	c.mu.Lock()
	c.skipped = true
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
	c.mu.Unlock()
	runtime.Goexit()
}

// Logf implements [T].
func (c *reportedCase) Logf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

// Cleanup implements [T].
func (c *reportedCase) Cleanup(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleanups = append(c.cleanups, f)
}

// Context implements [T].
func (c *reportedCase) Context() context.Context { return c.report.ctx }
