// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import "context"

// This file is what a pool's operation asks the cluster's server: who has
// registered, and who is busy.

func (op *poolOp) dial() DialFunc { return op.m.dialer(op.req.Framework, op.req.Server) }

// facts of the pool for its framework.
func (op *poolOp) facts(workers int) Facts {
	f := poolFacts(op.req.Scope, op.req.Framework, op.req.Server)
	f.Workers, f.Hardware = workers, op.req.Worker.Hardware
	return f
}

func poolFacts(scope Scope, fw Framework, s ServerAddress) Facts {
	return Facts{
		Namespace: scope.Namespace, Cluster: scope.Cluster, Pool: scope.Pool,
		Host: s.Host, Port: s.Port, Ports: portNumbers(fw.Defaults(RoleServer), s.Port), Password: s.Password,
	}
}

// awaitRegistered waits until all workers that were counted are known to the
// server, have ended as is accepted, or have ended as is not: those are noted
// and taken from res. Those that run without having registered when the time
// is over are noted as well. It returns how many are as they should be. If ctx
// has ended before, it looks once.
func (op *poolOp) awaitRegistered(ctx context.Context, res *PoolResult) (int, error) {
	lister, ok := op.req.Framework.(WorkerLister)
	if !ok {
		return 0, Errorf(ClassInvalid, "wait_for", "the framework %q cannot count registered workers", op.req.Framework.Name())
	}
	ask := ctx
	if ctx.Err() != nil {
		last, cancel := op.m.detached(ctx)
		defer cancel()
		ask = last
	}
	for p := op.m.newPause(); ; {
		op.lookAgain(ask, res)
		want := res.achieved(op.req.WaitFor)
		if want == res.Completed {
			return want, nil
		}
		all, err := lister.RegisteredWorkers(ask, op.dial(), op.facts(0))
		n, missing := registered(op.counted, all)
		n = min(n+res.Completed, want)
		if err == nil && n == want {
			return n, nil
		}
		if c := ClassOf(err); c == ClassInvalid || c == ClassPermission {
			return 0, wrap(err, "counting the registered workers of pool "+op.req.Scope.Pool)
		}
		op.log(ctx, "waiting for workers to register with the server", "registered", n, "wanted", want)
		end := p.wait(ctx)
		if end == nil {
			continue
		}
		if err == nil {
			op.unregistered(ctx, missing)
			err = Errorf(ClassOf(end), "", "the server counts %d of %d workers when the time is over: those that run but did not register cannot reach the server or do not know its password", n, want)
		}
		return n, wrap(err, "counting the registered workers of pool "+op.req.Scope.Pool)
	}
}

// awaitKnown waits until the workers that a rolling update has started so far
// are known to the server, if the pool waits for that at all. Before, they can
// take over nothing from those that leave next, and workers that never get
// there must not replace those that work. Who is missing when ctx ends is for
// awaitRegistered to tell.
func (op *poolOp) awaitKnown(ctx context.Context) error {
	lister, ok := op.req.Framework.(WorkerLister)
	if !ok || op.req.WaitFor != WaitForRegistered {
		return nil
	}
	for p := op.m.newPause(); ; {
		missing, err := op.unknown(ctx, lister)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if c := ClassOf(err); c == ClassInvalid || c == ClassPermission {
			return wrap(err, "counting the registered workers of pool "+op.req.Scope.Pool)
		}
		op.log(ctx, "rolling update: waiting for the new workers to register with the server", "containers", len(missing), "error", err)
		if p.wait(ctx) != nil {
			return errStopRoll
		}
	}
}

// unknown are the workers started by this operation that run and that the
// server has not known yet: one that was known may be too busy to say so again.
func (op *poolOp) unknown(ctx context.Context, lister WorkerLister) ([]Member, error) {
	world, err := op.look(ctx, false)
	if err != nil {
		return nil, err
	}
	wanted := map[Handle]bool{}
	for _, c := range op.started() {
		wanted[c.Handle] = !op.known[c.Handle]
	}
	var alive []Member
	for _, c := range world {
		switch {
		case !wanted[c.Handle]:
		case c.alive():
			alive = append(alive, c)
		default:
			op.markEnded(ctx, c, c.Observation)
		}
	}
	all, err := lister.RegisteredWorkers(ctx, op.dial(), op.facts(0))
	if err != nil {
		return alive, err
	}
	_, missing := registered(alive, all)
	for _, c := range missing {
		wanted[c.Handle] = false
	}
	for _, c := range alive {
		if c.Status == StatusRunning && wanted[c.Handle] {
			op.known[c.Handle] = true
		}
	}
	return missing, nil
}

// lookAgain asks after the workers that were counted: one that has ended
// meanwhile will not register any more.
func (op *poolOp) lookAgain(ctx context.Context, res *PoolResult) {
	var running []Handle
	for _, c := range op.counted {
		if c.Status == StatusRunning {
			running = append(running, c.Handle)
		}
	}
	if len(running) == 0 {
		return
	}
	seen, err := op.m.backend.Status(ctx, running)
	if err != nil {
		return // asked again
	}
	var still []Member
	res.PoolCounts = PoolCounts{}
	for _, c := range op.counted {
		if o := seen[c.Handle]; o.Known {
			c.Observation = o
		}
		if c.alive() || op.completed(c) {
			still = append(still, c)
			res.count(c)
			continue
		}
		op.markEnded(ctx, c, c.Observation)
		for i, h := range res.Slots {
			if h == c.Handle {
				res.Slots[i] = ""
			}
		}
		delete(res.Started, c.Handle)
	}
	op.counted = still
}

// registered counts the workers that a server knows and whose container is
// alive, and tells which running containers are not all registered. Workers that do not
// name their container are counted, but tell nothing of any container.
func registered(alive []Member, all []RegisteredWorker) (n int, missing []Member) {
	nameless := false
	known := map[string]int{}
	for _, w := range all {
		if w.Container == "" {
			n += max(1, w.Workers)
			nameless = true
			continue
		}
		known[w.Container] += max(1, w.Workers)
	}
	for _, c := range alive {
		if c.Status != StatusRunning {
			continue
		}
		there := min(known[c.Name], c.Workers)
		n += there
		if there < c.Workers && !nameless && c.Name != "" {
			missing = append(missing, c)
		}
	}
	return n, missing
}

// unregistered notes workers that run without being known to the server.
func (op *poolOp) unregistered(ctx context.Context, members []Member) {
	for i, c := range members {
		f := Failure{Handle: c.Handle, Role: RoleWorker, Workers: c.Workers, Reason: unregisteredReason}
		if i < shownFailures {
			f = op.m.failure(ctx, RoleWorker, c.Handle, c.Workers, c.Observation, op.req.Server.Password)
			f.Reason = unregisteredReason
		}
		op.failures = append(op.failures, f)
	}
}

const unregisteredReason = "it runs, but did not register with the server"

// askBusy finds out whose workers have a task, for scale_in = "idle". If the
// server does not tell, the newest leave first.
func (op *poolOp) askBusy(ctx context.Context) {
	teller, ok := op.req.Framework.(IdleTeller)
	if !ok || op.req.ScaleIn != ScaleInIdle {
		return
	}
	all, err := teller.RegisteredWorkers(ctx, op.dial(), op.facts(0))
	if err != nil {
		op.notices = append(op.notices, Notice{
			Summary: "Idle Workers Not Known",
			Detail:  "The server did not tell which workers are idle, so the newest leave first: " + err.Error() + ".",
		})
		return
	}
	op.busy = map[string]bool{}
	for _, w := range all {
		if w.Busy {
			op.busy[w.Container] = true
		}
	}
}
