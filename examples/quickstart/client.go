// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"time"
)

// clientCommand submits a job, waits for it and checks the answer.
func clientCommand(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	addr := addressFromEnv(getenv)
	flags := newFlags("client", stderr)
	flags.StringVar(&addr.Host, "host", addr.Host, "the server's host")
	flags.StringVar(&addr.Port, "port", addr.Port, "the server's port")
	flags.StringVar(&addr.Queue, "queue", addr.Queue, "the job queue: the cluster's name")
	n := flags.Int("tasks", 240, "the number of tasks")
	size := flags.Uint64("size", 70_000_000, "count the primes up to this number")
	patience := flags.Duration("patience", 30*time.Second, "how long to wait for a server that does not answer, or for workers that take no tasks")
	timeout := flags.Duration("timeout", 15*time.Minute, "how long the whole job may take")
	jsonFile := flags.String("json", "", "write {seconds, tasks, workers, correct} to this file")
	compare := flags.String("compare", "", "the file that an earlier --json wrote: print the speed-up")
	if err := parse(flags, args); err != nil {
		return err
	}

	// The password is never on the command line, where everybody can read it.
	if p := getenv("DOCKERPARALLEL_PASSWORD"); p != "" {
		addr.Password = p
	}
	if err := addr.check(); err != nil {
		return err
	}
	if *n < 1 || uint64(*n) > *size {
		return fmt.Errorf("%d tasks for the numbers up to %d: there must be at least one task, and a number for each", *n, *size)
	}
	var before summary
	if *compare != "" {
		var err error
		if before, err = readSummary(*compare); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithTimeoutCause(ctx, *timeout, fmt.Errorf("the job is not done after %v", *timeout))
	defer cancel()

	screen := newProgress(stdout, *n)
	j := newJob(addr, *size, *n, *patience, screen)
	defer j.close()
	if err := j.run(ctx); err != nil {
		screen.end()
		return err
	}
	screen.end()

	s := j.summarise(knownPrimes(*size))
	s.print(stdout)
	if *compare != "" {
		s.printSpeedUp(stdout, before, cores())
	}
	if *jsonFile != "" {
		if err := s.write(*jsonFile); err != nil {
			return err
		}
	}
	if !s.Correct {
		return errors.New("the answer is wrong")
	}
	return nil
}

// job is one job of this client, from its tasks to its results.
type job struct {
	id       string
	size     uint64
	tasks    []task
	queue    *queue
	outage   *outage
	patience time.Duration
	screen   *progress

	results map[int]result // by task; the first one counts
	start   time.Time
	end     time.Time

	lastSign time.Time // of work going on
	empty    int       // looks in a row that found nothing queued, nothing held and results missing
	workers  int       // alive, at the last look
}

// newJob prepares a job. Its random id keeps two clients of one queue apart.
func newJob(addr address, size uint64, n int, patience time.Duration, screen *progress) *job {
	id := rand.Text()[:12]
	return &job{
		id:       id,
		size:     size,
		tasks:    splitJob(id, size, n),
		queue:    &queue{rdb: addr.connect(""), name: addr.Queue},
		outage:   &outage{server: addr.String(), bound: patience, logger: log.New(screen, "", 0)},
		patience: patience,
		screen:   screen,
		results:  map[int]result{},
	}
}

// close forgets the job, so that no worker works for a client that is gone.
func (j *job) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = j.queue.forget(ctx, j.id) // a server that does not answer forgets it by itself, after jobTime
	_ = j.queue.close()
}

// run returns when there is a result for every task.
func (j *job) run(ctx context.Context) error {
	if err := j.outage.insist(ctx, j.queue.ping); err != nil {
		return err
	}

	j.start = time.Now()
	j.lastSign = j.start
	if err := j.submitMissing(ctx); err != nil {
		return err
	}

	for looked := j.start; len(j.results) < len(j.tasks); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := j.collect(ctx); err != nil {
			return err
		}
		if time.Since(looked) >= time.Second {
			looked = time.Now()
			if err := j.look(ctx); err != nil {
				return err
			}
		}
		j.screen.update(len(j.results), j.workers, time.Since(j.start))
	}
	j.end = time.Now()
	return nil
}

// submitMissing submits every task that has no result yet: at first, all.
func (j *job) submitMissing(ctx context.Context) error {
	var missing []task
	for _, t := range j.tasks {
		if _, done := j.results[t.Index]; !done {
			missing = append(missing, t)
		}
	}
	return j.outage.insist(ctx, func(ctx context.Context) error { return j.queue.submit(ctx, j.id, missing) })
}

// collect waits a little for one result.
func (j *job) collect(ctx context.Context) error {
	var r result
	var ok bool
	err := j.outage.insist(ctx, func(ctx context.Context) (err error) {
		r, ok, err = j.queue.next(ctx, j.id)
		return err
	})
	if err != nil || !ok {
		return err
	}
	if r.Job != j.id || r.Index < 0 || r.Index >= len(j.tasks) {
		return fmt.Errorf("a result that is not ours: job %q, task %d", r.Job, r.Index)
	}

	j.lastSign = time.Now()
	j.empty = 0
	if _, done := j.results[r.Index]; !done {
		j.results[r.Index] = r
	}
	return nil
}

// look is what the client does once a second: it keeps the job alive, sees to it that no task is lost, and gives up when
// nobody works.
func (j *job) look(ctx context.Context) error {
	var known bool
	var c census
	err := j.outage.insist(ctx, func(ctx context.Context) (err error) {
		if known, err = j.queue.keep(ctx, j.id); err != nil {
			return err
		}
		rescued, err := j.queue.rescue(ctx)
		if rescued > 0 {
			j.screen.say("a worker died: %s back in the queue", plural(rescued, "task"))
		}
		if err != nil {
			return err
		}
		c, err = j.queue.census(ctx)
		return err
	})
	if err != nil {
		return err
	}

	if !known {
		j.screen.say("the server has forgotten the job (was it restarted?): submitting what is missing again")
		j.empty = 0
		return j.submitMissing(ctx)
	}

	// What is missing is neither queued nor held, three times in a row: it was lost with somebody's connection.
	j.empty++
	if c.waiting > 0 || c.held > 0 {
		j.empty = 0
	}
	if j.empty >= 3 {
		j.screen.say("some tasks are neither queued nor in work: submitting them again")
		j.empty = 0
		return j.submitMissing(ctx)
	}

	j.workers = len(c.alive)
	if c.held > 0 {
		j.lastSign = time.Now() // a long task, or somebody else's
	}
	if time.Since(j.lastSign) < j.patience {
		return nil
	}
	if j.workers == 0 {
		return fmt.Errorf("no worker took a task for %v: queue %q has %s waiting and no worker; is the worker pool running?",
			j.patience, j.queue.name, plural(int(c.waiting), "task"))
	}
	return fmt.Errorf("no worker took a task for %v: queue %q has %s waiting and %s that takes none; look at the workers' logs",
		j.patience, j.queue.name, plural(int(c.waiting), "task"), plural(j.workers, "worker"))
}

// summarise adds up the results and compares the sum with the right answer.
func (j *job) summarise(right uint64) summary {
	s := summary{
		Seconds: j.end.Sub(j.start).Seconds(),
		Tasks:   len(j.results),
		size:    j.size,
		right:   right,
		shares:  map[string]share{},
	}
	for _, r := range j.results {
		s.answer += r.Count
		sh := s.shares[r.Worker]
		sh.tasks++
		sh.seconds += r.Seconds
		s.shares[r.Worker] = sh
	}
	s.Workers = len(s.shares)
	s.Correct = s.answer == right
	return s
}
