// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// workerCommand runs the workers of one container until they are told to stop.
func workerCommand(ctx context.Context, args []string, getenv func(string) string, _, stderr io.Writer) error {
	flags := newFlags("worker", stderr)
	giveUp := flags.Duration("give-up-after", 2*time.Minute, "how long to wait for a server that does not answer")
	if err := parse(flags, args); err != nil {
		return err
	}

	addr := addressFromEnv(getenv)
	if err := addr.check(); err != nil {
		return err
	}
	n := 1
	if s := getenv("DOCKERPARALLEL_WORKERS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			return fmt.Errorf("DOCKERPARALLEL_WORKERS is %q, not a number of workers", s)
		}
	}

	crew := crew{
		addr:       addr,
		workers:    n,
		clientName: getenv("DOCKERPARALLEL_CLIENT_NAME"),
		giveUp:     *giveUp,
		logger:     newLogger(stderr, "worker"),
	}
	return crew.run(ctx)
}

// crew is the workers that share one process.
type crew struct {
	addr       address
	workers    int
	clientName string
	giveUp     time.Duration
	logger     *log.Logger
}

// run starts the workers and returns when all have left: cleanly when ctx ends, with the first error when one gives up.
func (c *crew) run(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	// Heartbeats have a connection of their own: a worker's is busy waiting for tasks.
	beats := &queue{rdb: c.addr.connect(""), name: c.addr.Queue}
	defer beats.close()

	var group sync.WaitGroup
	errs := make([]error, c.workers)
	for i := range c.workers {
		name := host + ":" + strconv.Itoa(os.Getpid())
		if c.workers > 1 {
			name += "/" + strconv.Itoa(i+1)
		}
		group.Go(func() {
			if err := c.work(ctx, name, beats); err != nil && ctx.Err() == nil {
				errs[i] = err
				cancel(err)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// work is the life of one worker.
func (c *crew) work(ctx context.Context, name string, beats *queue) error {
	q := &queue{rdb: c.addr.connect(c.clientName), name: c.addr.Queue}
	defer q.close()
	w := &worker{
		name:   name,
		id:     name + "-" + rand.Text()[:8], // process ids come back; in containers they are often all the same
		queue:  q,
		logger: c.logger,
		outage: &outage{server: c.addr.String(), bound: c.giveUp, logger: c.logger},
	}

	// The heartbeat goes on while the last task is being finished.
	beatCtx, stopBeat := context.WithCancel(context.WithoutCancel(ctx))
	var beating sync.WaitGroup
	defer beating.Wait()
	defer stopBeat()

	// The first one comes before the first task, or a task could be held by somebody nobody knows.
	if err := w.outage.insist(ctx, func(ctx context.Context) error { return beats.beat(ctx, w.id) }); err != nil {
		return err
	}
	beating.Go(func() { w.keepBeating(beatCtx, beats) })

	c.logger.Printf("%s: ready, queue %s at %s", w.name, c.addr.Queue, c.addr)
	err := w.loop(ctx)
	stopBeat()
	beating.Wait() // or a late heartbeat would put us on the list again
	w.goodbye(ctx)
	return err
}

// worker takes one task after another.
type worker struct {
	name   string // for people
	id     string // for the queue: never used twice
	queue  *queue
	logger *log.Logger
	outage *outage
	done   int
}

// loop works until ctx ends. A task that has begun is finished and handed in.
func (w *worker) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		var payload string
		err := w.outage.insist(ctx, func(ctx context.Context) (err error) {
			payload, err = w.queue.take(ctx, w.id)
			return err
		})
		if err != nil {
			return err
		}
		if payload == "" || ctx.Err() != nil {
			continue
		}
		if err := w.do(ctx, payload); err != nil {
			return err
		}
	}
	return nil
}

// do works on one task and hands in the result.
func (w *worker) do(ctx context.Context, payload string) error {
	drop := func(ctx context.Context) error { return w.queue.drop(ctx, w.id, payload) }

	var t task
	if err := json.Unmarshal([]byte(payload), &t); err != nil {
		w.logger.Printf("%s: dropping a task that is not one: %v", w.name, err)
		return w.outage.insist(ctx, drop)
	}

	wanted := false
	err := w.outage.insist(ctx, func(ctx context.Context) (err error) {
		wanted, err = w.queue.wanted(ctx, t.Job)
		return err
	})
	if err != nil {
		return err
	}
	if !wanted {
		return w.outage.insist(ctx, drop)
	}

	start := time.Now()
	r := result{Job: t.Job, Index: t.Index, Worker: w.name, Count: countPrimes(t.From, t.To)}
	r.Seconds = time.Since(start).Seconds()

	err = w.outage.insist(ctx, func(ctx context.Context) error { return w.queue.finish(ctx, w.id, payload, r) })
	if err == nil {
		w.done++
	}
	return err
}

// keepBeating sends heartbeats and looks after what dead colleagues have left. Its errors pass: the loop will meet the
// same server, and decides.
func (w *worker) keepBeating(ctx context.Context, beats *queue) {
	for sleep(ctx, beatEvery) == nil {
		if err := attempt(ctx, func(ctx context.Context) error { return beats.beat(ctx, w.id) }); err != nil {
			continue
		}
		_ = attempt(ctx, func(ctx context.Context) error {
			n, err := beats.rescue(ctx)
			if n > 0 {
				w.logger.Printf("%s: put back %s of a worker that died", w.name, plural(n, "task"))
			}
			return err
		})
	}
}

// goodbye gives back what the worker holds. Where that fails, its lease runs out instead.
func (w *worker) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := w.queue.leave(ctx, w.id); err != nil {
		w.logger.Printf("%s: leaving without a goodbye: %v", w.name, err)
	}
	w.logger.Printf("%s: stopped after %s", w.name, plural(w.done, "task"))
}

// plural is "1 task", "2 tasks".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + strings.TrimSpace(noun) + "s"
}
