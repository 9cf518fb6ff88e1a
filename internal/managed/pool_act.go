// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// restarts is how often an operation starts a worker again that ended for a
// reason that can pass.
const restarts = 3

// errStopRoll ends a rolling update whose new workers do not come up: the old
// ones that are left go on working.
var errStopRoll = errors.New("the new workers do not come up")

// preflight lets the backend refuse what would be started, before anything
// that runs is touched.
func (op *poolOp) preflight(ctx context.Context) error {
	if op.plan.launch == 0 {
		return nil
	}
	size := packs(op.plan.launch, op.req.MaxWorkers)[0]
	run := op.request(size, 1)
	if err := op.m.checkLabels(run.Spec.Labels); err != nil {
		return err
	}
	if op.m.can.Preflighter == nil {
		return nil
	}
	replaces := handlesOf(slices.Concat(op.plan.stale, op.plan.retire, op.plan.victims, op.plan.dead))
	return wrap(op.m.can.Preflighter.Preflight(ctx, run, replaces), "checking the workers of pool "+op.req.Scope.Pool)
}

// act carries the plan out. It stops at the first step that makes no sense any
// more; what was reached is found out afterwards.
func (op *poolOp) act(ctx context.Context) {
	p := &op.plan
	if err := op.clear(ctx); err != nil {
		op.leftover = append(op.leftover, err)
		return
	}
	for _, c := range p.adopted {
		if c.Status == StatusInitializing {
			op.watched = append(op.watched, watched{Member: c})
		}
	}
	if len(p.retire) > 0 {
		if err := op.update(ctx); err != nil {
			return
		}
	} else {
		if op.req.Worker.Hardware.GPUs > 0 && p.launch > 0 {
			// What replaces a victim needs the devices that the victim holds.
			if err := op.stop(ctx, p.victims); err != nil {
				return
			}
			p.victims = nil
		}
		op.launch(ctx, p.launch)
		op.await(ctx)
	}
	if ctx.Err() != nil || op.shortOf(p.launch) {
		// Victims of a cut stay as long as what replaces them does not run.
		return
	}
	_ = op.stop(ctx, p.victims) // noted as a leftover
}

// clear reports and removes what has stopped, and stops what is connected to a
// server that is no more.
func (op *poolOp) clear(ctx context.Context) error {
	p := &op.plan
	gone := handlesOf(p.stale)
	var kept int
	var shown []Failure
	for _, c := range p.dead {
		if c.Launch == op.req.Server.Launch && len(shown) < shownFailures {
			shown = append(shown, op.m.failure(ctx, RoleWorker, c.Handle, c.Workers, c.Observation, op.req.Server.Password))
		}
		if op.req.KeepFailed && (c.ExitCode == nil || *c.ExitCode != 0) {
			kept++
			continue
		}
		gone = append(gone, c.Handle)
	}
	if len(shown) > 0 {
		detail := ""
		for _, f := range shown {
			detail += f.String() + "\n"
		}
		if more := len(p.dead) - len(shown); more > 0 {
			detail += fmt.Sprintf("and %d more\n", more)
		}
		if kept > 0 {
			detail += "They are kept, as keep_failed says, until the pool is destroyed.\n"
		}
		op.notices = append(op.notices, Notice{Summary: "Workers Had Stopped", Detail: detail})
	}
	if len(gone) > 0 {
		op.log(ctx, "removing workers that have stopped or lost their server", "containers", len(gone))
	}
	return op.m.kill(ctx, gone)
}

func (op *poolOp) log(ctx context.Context, msg string, args ...any) {
	op.m.opts.Log.InfoContext(ctx, msg, append([]any{"cluster", op.req.Scope.Cluster, "pool", op.req.Scope.Pool}, args...)...)
}

// update replaces workers of an older spec.
func (op *poolOp) update(ctx context.Context) error {
	p := &op.plan
	if op.req.Update.Strategy == StrategyRecreate {
		if err := op.stop(ctx, p.retire); err != nil {
			return err
		}
		op.launch(ctx, p.launch)
		op.await(ctx)
		return nil
	}
	return op.roll(ctx)
}

// roll replaces workers step by step, within the limits of the policy.
func (op *poolOp) roll(ctx context.Context) error {
	p, policy := &op.plan, op.req.Update
	old := op.leaveOrder(p.retire)
	stay := workersOf(p.kept) + workersOf(p.adopted)
	launched := 0
	for len(old) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		oldWorkers := workersOf(old)
		room := op.req.Workers + policy.MaxSurge - stay - launched - oldWorkers
		if add := min(room, p.launch-launched); add > 0 {
			op.launch(ctx, add)
			launched += add
			op.await(ctx)
			if err := op.awaitKnown(ctx); err != nil {
				return err
			}
			if op.shortOf(launched) {
				return errStopRoll
			}
		}
		may := stay + launched + oldWorkers - (op.req.Workers - policy.MaxUnavailable)
		step := 0
		for step < len(old) && (old[step].Workers <= may || old[step].Status != StatusRunning) {
			may -= old[step].Workers
			step++
		}
		if step == 0 {
			step = 1 // a step is never smaller than one container
		}
		op.log(ctx, "rolling update: stopping old workers", "containers", step, "left", len(old)-step)
		if err := op.stop(ctx, old[:step]); err != nil {
			return err
		}
		old = old[step:]
	}
	if rest := p.launch - launched; rest > 0 {
		op.launch(ctx, rest)
		op.await(ctx)
	}
	return nil
}

// leaveOrder sorts members into the order in which they leave.
func (op *poolOp) leaveOrder(members []Member) []Member {
	cs := make([]candidate, len(members))
	byHandle := make(map[Handle]Member, len(members))
	for i, c := range members {
		cs[i] = candidate{handle: c.Handle, workers: c.Workers, running: c.Status == StatusRunning, busy: op.busy[c.Name], started: c.StartedAt}
		byHandle[c.Handle] = c
	}
	sortCandidates(cs, op.req.ScaleIn)
	out := make([]Member, len(cs))
	for i, c := range cs {
		out[i] = byHandle[c.handle]
	}
	return out
}

func workersOf(members []Member) int {
	n := 0
	for _, c := range members {
		n += c.Workers
	}
	return n
}

// shortOf tells whether fewer than n of the workers that this operation
// started are alive.
func (op *poolOp) shortOf(n int) bool {
	alive := 0
	for _, c := range op.watched {
		if c.ours && !op.ended[c.Handle] {
			alive += c.Workers
		}
	}
	return alive < n
}

// stop lets members finish, kills them and notes what could not be killed.
func (op *poolOp) stop(ctx context.Context, members []Member) error {
	req := &op.req
	rest, done := op.m.drain(ctx, req.Framework, req.Server, op.facts(0), req.Worker.StopGrace, members)
	defer done()
	err := op.m.kill(rest, handlesOf(members))
	if err != nil {
		op.leftover = append(op.leftover, err)
	}
	return err
}

// request is a Run of count containers with size workers each.
func (op *poolOp) request(size, count int) RunRequest {
	m, req := op.m, &op.req
	token := newToken()
	run := RunRequest{Scope: req.Scope, Role: RoleWorker, Count: count, Token: token}
	run.Spec = containerSpec(req.Framework, RoleWorker, req.Worker, op.facts(size))
	run.Spec.Labels = Labels{
		Namespace: req.Scope.Namespace, Owner: m.opts.Owner, Cluster: req.Scope.Cluster, Pool: req.Scope.Pool,
		Role: RoleWorker, Framework: req.Framework.Name(), Workers: size, Launch: req.Server.Launch,
		SpecHash: op.hash, Token: token, Record: req.Worker.Record.String(), User: req.Worker.Labels,
	}.Map()
	return run
}

// launch starts workers, packed into as few containers as allowed, as many
// calls at once as serve the backend best. Failures are noted; it goes on with
// the others, unless the request can never work.
func (op *poolOp) launch(ctx context.Context, workers int) {
	if workers <= 0 {
		return
	}
	m := op.m
	var runs []RunRequest
	for _, group := range groups(packs(workers, op.req.MaxWorkers)) {
		for n := group.count; n > 0; n -= m.props.BatchSize {
			run := op.request(group.size, min(n, m.props.BatchSize))
			op.tokens[run.Token] = true
			runs = append(runs, run)
		}
	}
	op.log(ctx, "starting workers", "workers", workers, "calls", len(runs))
	type answer struct {
		handles []Handle
		err     error
	}
	answers := make([]answer, len(runs))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var g errgroup.Group
	g.SetLimit(m.props.Concurrency)
	for i, run := range runs {
		g.Go(func() error {
			a := &answers[i]
			if !goingOn(ctx) {
				return nil // another answer has the cause, or the caller knows it
			}
			a.handles, a.err = m.backend.Run(ctx, run)
			a.handles = unique(a.handles)
			if a.err == nil && len(a.handles) != run.Count {
				a.err = Errorf(ClassUnknown, "", "the backend %q answered with %d handles instead of %d", m.props.Name, len(a.handles), run.Count)
			}
			switch ClassOf(a.err) {
			case ClassInvalid, ClassPermission, ClassUnavailable:
				cancel(a.err) // the others would fail in the same way
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors: each has its own answer
	seen := map[string]bool{}
	for i, a := range answers {
		labels, _ := ParseLabels(runs[i].Spec.Labels)
		for _, h := range a.handles {
			c := Member{Handle: h, Labels: labels, Observation: Observation{Status: StatusInitializing, Known: true, CreatedAt: time.Now()}}
			op.watched = append(op.watched, watched{Member: c, ours: true})
		}
		if a.err != nil && !seen[a.err.Error()] {
			seen[a.err.Error()] = true
			op.causes = append(op.causes, wrap(a.err, "starting workers of pool "+op.req.Scope.Pool))
		}
	}
}

func goingOn(ctx context.Context) bool { return ctx.Err() == nil }

// group is a number of containers of one size.
type group struct{ size, count int }

// groups counts equal neighbours.
func groups(sizes []int) []group {
	var out []group
	for _, s := range sizes {
		if n := len(out); n > 0 && out[n-1].size == s {
			out[n-1].count++
		} else {
			out = append(out, group{s, 1})
		}
	}
	return out
}

// await waits until the workers that were started run or have failed, or ctx
// is done, and then looks a second time. Workers that ended for a reason that
// can pass are started again, a few times.
func (op *poolOp) await(ctx context.Context) {
	if op.req.WaitFor == WaitForNone {
		return
	}
	for try := 0; ; try++ {
		again := op.watch(ctx)
		if again == 0 || try == restarts || ctx.Err() != nil {
			return
		}
		op.log(ctx, "starting workers again that ended for a reason that can pass", "workers", again)
		op.launch(ctx, again)
	}
}

// watch returns how many workers ended for a reason that can pass.
func (op *poolOp) watch(ctx context.Context) int {
	begun := time.Now()
	pending := make([]int, 0, len(op.watched)) // indices into watched
	for i, c := range op.watched {
		if c.Status == StatusInitializing && !op.ended[c.Handle] {
			pending = append(pending, i)
		}
	}
	if len(pending) == 0 {
		return 0
	}
	again := 0
	ran := pending
	for p := op.m.newPause(); len(pending) > 0; {
		var passing int
		pending, passing = op.check(ctx, pending, begun)
		again += passing
		if len(pending) > 0 {
			op.log(ctx, "waiting for workers", "pending", len(pending))
			if p.wait(ctx) != nil {
				return again
			}
		}
	}
	// The second look: a container that ends at once is not a worker.
	if op.m.props.SettleTime > 0 {
		settle := &pause{next: op.m.props.SettleTime}
		if settle.wait(ctx) != nil {
			return again
		}
	}
	_, passing := op.check(ctx, slices.DeleteFunc(slices.Clone(ran), func(i int) bool { return op.ended[op.watched[i].Handle] }), begun)
	return again + passing
}

// check asks after workers and sorts out those that are not running yet. It
// records what it learns in op.watched and op.ended.
func (op *poolOp) check(ctx context.Context, indices []int, begun time.Time) (pending []int, passing int) {
	if len(indices) == 0 {
		return nil, 0
	}
	handles := make([]Handle, len(indices))
	for i, at := range indices {
		handles[i] = op.watched[at].Handle
	}
	seen, err := op.m.backend.Status(ctx, handles)
	if err != nil {
		if ctx.Err() == nil {
			op.causes = append(op.causes, wrap(err, "asking after the workers of pool "+op.req.Scope.Pool))
			return nil, 0 // the last look will tell
		}
		return indices, 0
	}
	now := time.Now()
	for i, at := range indices {
		c := &op.watched[at]
		o := op.m.timely(seen[handles[i]], now)
		switch {
		case !o.Known && now.Sub(begun) <= op.m.props.VisibilityLag, o.Known && o.Status == StatusInitializing:
			pending = append(pending, at)
		case o.Known && o.Status == StatusRunning:
			c.Observation = o
		default:
			c.Observation = o
			if op.markEnded(ctx, c.Member, o) && o.Passing {
				passing += c.Workers
			}
		}
	}
	return pending, passing
}

// markEnded notes that a started worker has stopped; it is false if that was
// known already, or is what the pool accepts.
func (op *poolOp) markEnded(ctx context.Context, c Member, o Observation) bool {
	if op.ended[c.Handle] || op.completed(c) {
		return false
	}
	if op.ended == nil {
		op.ended = map[Handle]bool{}
	}
	op.ended[c.Handle] = true
	f := Failure{Handle: c.Handle, Role: RoleWorker, Workers: c.Workers, Reason: o.Reason, ExitCode: o.ExitCode}
	if len(op.failures) < shownFailures {
		f = op.m.failure(ctx, RoleWorker, c.Handle, c.Workers, o, op.req.Server.Password)
	}
	op.failures = append(op.failures, f)
	return true
}
