// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// leaseTime is how long a worker is believed to live after its last heartbeat.
	leaseTime = 3 * time.Second
	// beatEvery is how often it sends one.
	beatEvery = 500 * time.Millisecond
	// jobTime is how long a job outlives its client. Its tasks are dropped after that, so that nobody works for a
	// client that is gone.
	jobTime = time.Minute
	// pollTime is how long a command waits at the server for something to come. Redis counts it in whole seconds.
	pollTime = time.Second
)

// queue is the cluster's job queue. A task is in one of two places: in the list of waiting tasks, or in the list of the
// worker that holds it. It moves from the first to the second in one step and leaves it only together with its result,
// so a worker can die at any moment without a task being lost:
//
//	<queue>:tasks         waiting tasks, oldest first
//	<queue>:held:<id>     what this worker works on
//	<queue>:workers       the ids of all workers
//	<queue>:lease:<id>    there while this worker lives: it runs out without heartbeats
//	<queue>:job:<job>     there while the client of this job wants its results
//	<queue>:results:<job> what is done
type queue struct {
	rdb  *redis.Client
	name string
}

func (q *queue) key(kind string) string         { return q.name + ":" + kind }
func (q *queue) keyOf(kind, id string) string   { return q.name + ":" + kind + ":" + id }
func (q *queue) close() error                   { return q.rdb.Close() }
func (q *queue) ping(ctx context.Context) error { return q.rdb.Ping(ctx).Err() }

// submit adds tasks of one job and marks the job as wanted, all in one step.
func (q *queue) submit(ctx context.Context, job string, tasks []task) error {
	payloads := make([]any, len(tasks))
	for i, t := range tasks {
		payload, err := json.Marshal(t)
		if err != nil {
			return err
		}
		payloads[i] = payload
	}

	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, q.keyOf("job", job), 1, jobTime)
		p.RPush(ctx, q.key("tasks"), payloads...)
		return nil
	})
	return err
}

// keep says that the job is still wanted. It is false when the server knows nothing of it (any more).
func (q *queue) keep(ctx context.Context, job string) (bool, error) {
	var known *redis.BoolCmd
	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		known = p.Expire(ctx, q.keyOf("job", job), jobTime)
		p.Expire(ctx, q.keyOf("results", job), jobTime)
		return nil
	})
	return err == nil && known.Val(), err
}

// forget removes what is left of a job. Workers drop its waiting tasks when they meet them.
func (q *queue) forget(ctx context.Context, job string) error {
	return q.rdb.Del(ctx, q.keyOf("job", job), q.keyOf("results", job)).Err()
}

// next waits a little for the next result of a job; false: none came.
func (q *queue) next(ctx context.Context, job string) (result, bool, error) {
	var r result
	reply, err := q.rdb.BLPop(ctx, pollTime, q.keyOf("results", job)).Result()
	if errors.Is(err, redis.Nil) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	if err := json.Unmarshal([]byte(reply[1]), &r); err != nil {
		return r, false, fmt.Errorf("a result that is not one: %w", err)
	}
	return r, true, nil
}

// take waits a little for a task and gives it to the worker; empty: none came.
func (q *queue) take(ctx context.Context, worker string) (string, error) {
	payload, err := q.rdb.BLMove(ctx, q.key("tasks"), q.keyOf("held", worker), "LEFT", "RIGHT", pollTime).Result()
	return payload, notEmpty(err)
}

// wanted says whether somebody still waits for the results of a job.
func (q *queue) wanted(ctx context.Context, job string) (bool, error) {
	n, err := q.rdb.Exists(ctx, q.keyOf("job", job)).Result()
	return n > 0, err
}

// finish hands in a result and lets go of the task, in one step.
func (q *queue) finish(ctx context.Context, worker, payload string, r result) error {
	encoded, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.RPush(ctx, q.keyOf("results", r.Job), encoded)
		p.Expire(ctx, q.keyOf("results", r.Job), jobTime)
		p.LRem(ctx, q.keyOf("held", worker), 1, payload)
		return nil
	})
	return err
}

// drop lets go of a task that nobody wants.
func (q *queue) drop(ctx context.Context, worker, payload string) error {
	return q.rdb.LRem(ctx, q.keyOf("held", worker), 1, payload).Err()
}

// beat is a worker's heartbeat. It puts the worker on the list each time, because the server may have been restarted.
func (q *queue) beat(ctx context.Context, worker string) error {
	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, q.keyOf("lease", worker), 1, leaseTime)
		p.SAdd(ctx, q.key("workers"), worker)
		return nil
	})
	return err
}

// leave takes a worker off the list and gives back what it holds.
func (q *queue) leave(ctx context.Context, worker string) error {
	if _, err := q.giveBack(ctx, worker); err != nil {
		return err
	}
	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.SRem(ctx, q.key("workers"), worker)
		p.Del(ctx, q.keyOf("lease", worker))
		return nil
	})
	return err
}

// giveBack moves what a worker holds to the head of the queue.
func (q *queue) giveBack(ctx context.Context, worker string) (int, error) {
	for n := 0; ; n++ {
		err := q.rdb.LMove(ctx, q.keyOf("held", worker), q.key("tasks"), "RIGHT", "LEFT").Err()
		if errors.Is(err, redis.Nil) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// rescue gives back what dead workers hold, and says how many tasks that were. A worker that was only slow loses its task
// too and both do it: the client counts a result once.
func (q *queue) rescue(ctx context.Context) (int, error) {
	c, err := q.census(ctx)
	if err != nil {
		return 0, err
	}
	rescued := 0
	for _, id := range c.dead {
		n, err := q.giveBack(ctx, id)
		rescued += n
		if err != nil {
			return rescued, err
		}
		if err := q.rdb.SRem(ctx, q.key("workers"), id).Err(); err != nil {
			return rescued, err
		}
	}
	return rescued, nil
}

// census is what the queue looks like at one moment.
type census struct {
	waiting int64    // tasks, of all jobs
	held    int64    // tasks that living workers hold
	alive   []string // workers
	dead    []string // workers that did not say goodbye
}

func (q *queue) census(ctx context.Context) (census, error) {
	var c census
	ids, err := q.rdb.SMembers(ctx, q.key("workers")).Result()
	if err != nil {
		return c, err
	}

	leases, held := make([]*redis.IntCmd, len(ids)), make([]*redis.IntCmd, len(ids))
	var waiting *redis.IntCmd
	_, err = q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		waiting = p.LLen(ctx, q.key("tasks"))
		for i, id := range ids {
			leases[i] = p.Exists(ctx, q.keyOf("lease", id))
			held[i] = p.LLen(ctx, q.keyOf("held", id))
		}
		return nil
	})
	if err != nil {
		return c, err
	}

	c.waiting = waiting.Val()
	for i, id := range ids {
		if leases[i].Val() == 0 {
			c.dead = append(c.dead, id)
			continue
		}
		c.alive = append(c.alive, id)
		c.held += held[i].Val()
	}
	return c, nil
}
