// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// This file speaks Celery's remote control, as `celery inspect` does: kombu's
// mailboxes ("pidbox") over its Redis transport, which are the same in kombu 5.2
// (Celery 5.2) and in its source of today. There is no library for it in Go.
//
// A call is published to the channel that all nodes listen to. A node sends its
// answer to an exchange, which is a set of "routing key, pattern, queue", and
// the queue is a list.
const (
	// Celery's setting control_exchange, as long as the app leaves it alone.
	celeryMailbox = "celery.pidbox"
	// kombu publishes in a channel of the database's, here always 0.
	celeryChannel  = "/0." + celeryMailbox
	celeryBindings = "_kombu.binding."
	celeryMark     = "\x06\x16" // between the parts of a binding
	// Our own exchange for answers. Celery's cannot be given a time to expire:
	// others use it, too. It has one name for all callers, since every node
	// remembers each exchange that it has sent to.
	celeryReplies = "reply.dockerparallel.pidbox"
	// How long our keys outlive a caller who was cut off.
	celeryExpiry = time.Minute
	// How long the list of answers outlives a call, for an answer that is on
	// its way: without a list, it would make one that never expires.
	celeryLate = 5 * time.Second
	// How long to wait for one more answer: what `celery inspect` waits.
	celeryQuiet = time.Second
)

// celeryCall is a command of the remote control. Its ticket comes back with
// the answers.
type celeryCall struct {
	Ticket, Method string
	Arguments      map[string]any
}

// celeryNodes says who shall answer: those of a list, or those that a glob
// pattern takes.
type celeryNodes struct {
	list    []string
	pattern string
}

// celeryAnswers are by node, then by ticket.
type celeryAnswers map[string]map[string]json.RawMessage

// complete tells whether all of these nodes have answered all calls.
func (a celeryAnswers) complete(nodes []string, calls []celeryCall) bool {
	for _, n := range nodes {
		if len(a[n]) < len(calls) {
			return false
		}
	}
	return true
}

// TellsIdle implements managed.IdleTeller.
func (celery) TellsIdle() {}

// RegisteredWorkers implements managed.WorkerLister: it asks the pool's nodes
// themselves. Those that do not answer do not count. But a node of the pool
// "solo" answers nothing while it has a task, so that silence means busy.
func (c celery) RegisteredWorkers(ctx context.Context, dial managed.DialFunc, f managed.Facts) ([]managed.RegisteredWorker, error) {
	pool := celeryPoolName(f)
	calls := []celeryCall{
		{Ticket: "stats", Method: "stats"},
		// Without "safe", all arguments of all tasks would come along.
		{Ticket: "active", Method: "active", Arguments: map[string]any{"safe": true}},
	}
	var bound []string
	var answers celeryAnswers
	err := withRedis(ctx, dial, f.Password, func(r *redis.Client) (err error) {
		if bound, err = boundCeleryNodes(ctx, r, pool); err != nil || len(bound) == 0 {
			return err
		}
		answers, err = askCelery(ctx, r, celeryNodes{pattern: pool + "[.@]*"}, calls, celeryQuiet, func(a celeryAnswers) bool {
			return a.complete(bound, calls)
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, node := range bound {
		if isSoloCeleryNode(pool, node) && answers[node] == nil {
			answers[node] = map[string]json.RawMessage{"active": json.RawMessage(`["unknown"]`)}
		}
	}
	var workers []managed.RegisteredWorker
	for _, node := range slices.Sorted(maps.Keys(answers)) {
		if container := celeryContainer(pool, node); container != "" {
			workers = append(workers, celeryWorker(container, answers[node]))
		}
	}
	return workers, nil
}

// celeryWorker reads what a node has answered. What it did not tell is taken
// for one worker, and for busy: nobody then takes away a task by mistake.
func celeryWorker(container string, answer map[string]json.RawMessage) managed.RegisteredWorker {
	w := managed.RegisteredWorker{Container: container, Workers: 1, Busy: true}
	var stats struct {
		Pool struct {
			Concurrency int `json:"max-concurrency"`
		} `json:"pool"`
	}
	if json.Unmarshal(answer["stats"], &stats) == nil {
		w.Workers = max(1, stats.Pool.Concurrency)
	}
	var active []json.RawMessage
	if json.Unmarshal(answer["active"], &active) == nil {
		w.Busy = len(active) > 0
	}
	return w
}

// Drain implements managed.Drainer: nodes stop taking tasks from their queues,
// and only then get their stop signal. What they hold but have not begun they
// give back at that signal, by themselves.
//
// Without this, a signal loses the task that the server is just sending to a
// node (https://github.com/celery/celery/issues/4354; seen with 5.2), and
// reaches a node with the pool "solo" in the middle of its task. Such a node answers once
// its task is done; others answer at once.
func (c celery) Drain(ctx context.Context, dial managed.DialFunc, f managed.Facts, containers []string) error {
	pool := celeryPoolName(f)
	return withRedis(ctx, dial, f.Password, func(r *redis.Client) error {
		nodes, err := boundCeleryNodes(ctx, r, pool)
		if err != nil {
			return err
		}
		nodes = slices.DeleteFunc(nodes, func(n string) bool { return !slices.Contains(containers, celeryContainer(pool, n)) })
		if len(nodes) == 0 {
			return nil
		}
		quiet := 3 * celeryQuiet
		if slices.ContainsFunc(nodes, func(n string) bool { return isSoloCeleryNode(pool, n) }) {
			quiet = 0 // until ctx ends
		}
		silent, err := stopCeleryConsumers(ctx, r, nodes, c.queues(), quiet)
		if err != nil {
			return err
		}
		// A node's request for tasks ends after a second at most.
		if err := celeryPause(ctx, 1200*time.Millisecond); err != nil {
			return err
		}
		if silent > 0 {
			return fmt.Errorf("%d of %d Celery nodes did not answer when they were told to take no more tasks", silent, len(nodes))
		}
		return nil
	})
}

// stopCeleryConsumers has nodes take no more tasks, and returns when they say
// that they listen to no queue: with gevent or eventlet they do what they were
// told up to two seconds later. It begins with the queues that are likely;
// nodes of before a change of the option have others. It tells how many nodes
// said nothing.
func stopCeleryConsumers(ctx context.Context, r *redis.Client, nodes, queues []string, quiet time.Duration) (silent int, err error) {
	const listening = "listening"
	told := map[string]bool{}
	for {
		var calls []celeryCall
		for _, q := range queues {
			if !told[q] {
				told[q] = true
				calls = append(calls, celeryCall{Ticket: "cancel " + q, Method: "cancel_consumer", Arguments: map[string]any{"queue": q}})
			}
		}
		calls = append(calls, celeryCall{Ticket: listening, Method: "active_queues"})
		answers, err := askCelery(ctx, r, celeryNodes{list: nodes}, calls, quiet, func(a celeryAnswers) bool { return a.complete(nodes, calls) })
		if err != nil {
			return 0, err
		}
		queues = nil
		for _, answer := range answers {
			var still []struct {
				Name string `json:"name"`
			}
			if json.Unmarshal(answer[listening], &still) != nil {
				continue // it did not say
			}
			for _, q := range still {
				queues = append(queues, q.Name)
			}
		}
		if len(queues) == 0 {
			return len(nodes) - len(answers), nil
		}
		if err := celeryPause(ctx, 200*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// boundCeleryNodes are the pool's nodes that have a mailbox. A node that ends
// takes it away; one that is killed leaves it there.
func boundCeleryNodes(ctx context.Context, r *redis.Client, pool string) ([]string, error) {
	bindings, err := r.SMembers(ctx, celeryBindings+celeryMailbox).Result()
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, b := range bindings {
		parts := strings.Split(b, celeryMark)
		node, ok := strings.CutSuffix(parts[len(parts)-1], "."+celeryMailbox)
		if ok && celeryContainer(pool, node) != "" {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes, nil
}

// askCelery sends calls to nodes and gathers their answers, until they are
// enough or none has come for the time of quiet; with a quiet of 0, until ctx
// ends. All that it makes in Redis is gone a few seconds later, and, should
// the connection break, a minute later.
func askCelery(ctx context.Context, client *redis.Client, to celeryNodes, calls []celeryCall, quiet time.Duration, enough func(celeryAnswers) bool) (celeryAnswers, error) {
	// A transaction of the client itself would look for a connection of its own.
	r := client.Conn()
	defer r.Close()
	key := "dockerparallel-" + rand.Text()
	queue := key + "." + celeryReplies
	binding, member := celeryBindings+celeryReplies, key+celeryMark+celeryMark+queue
	// The list of answers begins with an entry of ours, which stays at its end:
	// an empty list would be gone, and its expiry with it.
	if _, err := r.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, binding, member)
		p.Expire(ctx, binding, celeryExpiry)
		p.RPush(ctx, queue, "")
		p.Expire(ctx, queue, celeryExpiry+celeryLate)
		return nil
	}); err != nil {
		return nil, err
	}
	defer func() {
		_, _ = r.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.SRem(ctx, binding, member)
			p.LTrim(ctx, queue, -1, -1)
			p.Expire(ctx, queue, celeryLate)
			return nil
		})
	}()
	for _, call := range calls {
		message, err := celeryMessage(call, to, key)
		if err != nil {
			return nil, err
		}
		if err := r.Publish(ctx, celeryChannel, message).Err(); err != nil {
			return nil, err
		}
	}

	answers := celeryAnswers{}
	const shortest, longest = 5 * time.Millisecond, 100 * time.Millisecond
	for last, wait := time.Now(), shortest; !enough(answers); wait = min(2*wait, longest) {
		if err := celeryPause(ctx, wait); err != nil {
			return nil, err
		}
		var replies *redis.StringSliceCmd
		if _, err := r.TxPipelined(ctx, func(p redis.Pipeliner) error {
			replies = p.LRange(ctx, queue, 0, -2)
			p.LTrim(ctx, queue, -1, -1)
			p.Expire(ctx, binding, celeryExpiry)
			p.Expire(ctx, queue, celeryExpiry+celeryLate)
			return nil
		}); err != nil {
			return nil, err
		}
		for _, reply := range replies.Val() {
			if err := answers.add(reply); err != nil {
				return nil, err
			}
			last, wait = time.Now(), shortest
		}
		if quiet > 0 && time.Since(last) > quiet {
			break
		}
	}
	return answers, nil
}

// celeryMessage is a call as kombu publishes it.
func celeryMessage(call celeryCall, to celeryNodes, replyTo string) ([]byte, error) {
	arguments := call.Arguments
	if arguments == nil {
		arguments = map[string]any{}
	}
	body := map[string]any{
		"method": call.Method, "arguments": arguments, "ticket": call.Ticket,
		"destination": nil, "pattern": nil, "matcher": nil,
		"reply_to": map[string]string{"exchange": celeryReplies, "routing_key": replyTo},
	}
	if to.pattern != "" {
		body["pattern"], body["matcher"] = to.pattern, "glob"
	} else {
		body["destination"] = to.list
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"body": base64.StdEncoding.EncodeToString(b), "content-type": celeryJSON, "content-encoding": "utf-8",
		"headers": map[string]any{"clock": 1},
		"properties": map[string]any{
			"body_encoding": "base64", "delivery_tag": rand.Text(), "delivery_mode": 1, "priority": 0,
			"delivery_info": map[string]string{"exchange": celeryMailbox, "routing_key": ""},
		},
	})
}

const celeryJSON = "application/json"

// add takes in an answer: {node: what it says}.
func (a celeryAnswers) add(reply string) error {
	var message struct {
		Body        string `json:"body"`
		ContentType string `json:"content-type"`
		Headers     struct {
			Ticket string `json:"ticket"`
		} `json:"headers"`
		Properties struct {
			BodyEncoding string `json:"body_encoding"`
		} `json:"properties"`
	}
	if err := json.Unmarshal([]byte(reply), &message); err != nil {
		return fmt.Errorf("a Celery node has answered what is no message: %w", err)
	}
	if message.ContentType != celeryJSON {
		return fmt.Errorf("the Celery nodes answer in %s, which cannot be read here: leave the app's task_serializer at \"json\", Celery's default, "+
			"and set serializer on those tasks that need another one", message.ContentType)
	}
	body := []byte(message.Body)
	if message.Properties.BodyEncoding == "base64" {
		var err error
		if body, err = base64.StdEncoding.DecodeString(message.Body); err != nil {
			return fmt.Errorf("a Celery node has answered what is no base64: %w", err)
		}
	}
	var nodes map[string]json.RawMessage
	if err := json.Unmarshal(body, &nodes); err != nil {
		return fmt.Errorf("a Celery node has answered what is no answer: %w", err)
	}
	for node, answer := range nodes {
		if a[node] == nil {
			a[node] = map[string]json.RawMessage{}
		}
		a[node][message.Headers.Ticket] = answer
	}
	return nil
}

// celeryPause waits, unless ctx ends first.
func celeryPause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
