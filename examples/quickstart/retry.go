// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"
)

// outage follows a server that does not answer, and says when it has been away for too long.
type outage struct {
	server string        // its address, for messages
	bound  time.Duration // how long to wait for it
	logger *log.Logger

	since time.Time // when it went away; zero while it is there
	pause time.Duration
}

// insist runs op until it succeeds, the server has been away for too long, or ctx ends. An op that has begun is not cut
// short by ctx: a worker that is told to stop can still hand in what it has. An op must be safe to run twice.
func (o *outage) insist(ctx context.Context, op func(context.Context) error) error {
	for {
		err := attempt(ctx, op)
		if err == nil {
			o.over()
			return nil
		}
		if err := o.wait(ctx, err); err != nil {
			return err
		}
	}
}

// attempt runs op once, with a deadline of its own.
func attempt(ctx context.Context, op func(context.Context) error) error {
	opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return op(opCtx)
}

// over is called when the server has answered.
func (o *outage) over() {
	if !o.since.IsZero() {
		o.logger.Printf("the server at %s is there again", o.server)
	}
	o.since, o.pause = time.Time{}, 0
}

// wait pauses before the next attempt, longer each time. It returns an error when there should be none.
func (o *outage) wait(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if redis.IsAuthError(cause) {
		return fmt.Errorf("the server at %s refuses the password: %w", o.server, cause)
	}

	now := time.Now()
	if o.since.IsZero() {
		o.since = now
		o.logger.Printf("no answer from the server at %s (%v); trying for %v", o.server, cause, o.bound)
	}
	left := o.bound - now.Sub(o.since)
	if left <= 0 {
		return fmt.Errorf("no answer from the server at %s for %v, giving up: %w", o.server, o.bound, cause)
	}

	o.pause = min(max(2*o.pause, 50*time.Millisecond), time.Second)
	return sleep(ctx, min(o.pause, left))
}

// sleep waits, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// notEmpty drops the error by which Redis says that there is nothing.
func notEmpty(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
