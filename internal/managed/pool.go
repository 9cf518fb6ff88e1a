// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"slices"
	"time"
)

// PoolRequest asks for a number of workers. It describes the whole wish;
// [Manager.SetWorkerNumber] finds out what is to be done.
type PoolRequest struct {
	// Scope names the pool.
	Scope     Scope
	Framework Framework
	// Server that the workers connect to; see [Manager.ConnectServer].
	Server ServerAddress
	// Worker is the template of one worker.
	Worker Template
	// MaxWorkers is how many workers may share a container; at least 1.
	MaxWorkers int

	// Workers wanted, at least 0. MinWorkers are enough to succeed.
	Workers    int
	MinWorkers int
	// Slots as planned: nil, or one element per worker: the handle of a
	// worker that stays, or "" for one that is to be found or started. What is
	// in no slot and does not fit into an empty one is stopped.
	Slots []Handle
	// Known are the handles that the caller remembers, repeated per worker.
	// They are asked for before any is called dead, and they are ours,
	// whatever their owner label says. KnownLaunch and KnownHash are what
	// they were started with, for backends that cannot list.
	Known       []Handle
	KnownLaunch string
	KnownHash   string

	ScaleIn    ScaleIn
	Gang       GangStyle
	WaitFor    WaitFor
	OnExit     OnExit
	Update     UpdatePolicy
	KeepFailed bool

	// Create is true if the caller does not know of the pool yet.
	Create     bool
	OnExisting OnExisting
}

// GangStyle says what a shortfall below MinWorkers does.
type GangStyle string

// The styles.
const (
	// GangSoft keeps the workers that run.
	GangSoft GangStyle = "soft"
	// GangHard takes back what the operation started.
	GangHard GangStyle = "hard"
)

// WaitFor says when a worker counts as achieved.
type WaitFor string

// What an operation waits for.
const (
	WaitForNone       WaitFor = "none"       // the backend accepted it
	WaitForRunning    WaitFor = "running"    // its container runs
	WaitForRegistered WaitFor = "registered" // the server knows it
)

// OnExit says what it means that a worker ended by itself with exit code 0.
type OnExit string

// The meanings.
const (
	OnExitReplace OnExit = "replace" // it is missed
	OnExitAccept  OnExit = "accept"  // its work is done
)

// Strategy says how workers of an old spec give way to new ones.
type Strategy string

// The strategies.
const (
	StrategyRolling       Strategy = "rolling"
	StrategyRecreate      Strategy = "recreate"
	StrategyOnReplacement Strategy = "on_replacement" // only new workers get the new spec
)

// UpdatePolicy is a strategy with its limits, in workers: of the wanted number
// at most MaxUnavailable are missing at any time, and at most MaxSurge run
// beyond it. A step is never smaller than one container.
type UpdatePolicy struct {
	Strategy       Strategy
	MaxUnavailable int
	MaxSurge       int
}

// PoolResult is the truth after an operation, on every way out.
type PoolResult struct {
	// Touched is false if the operation failed before it changed anything:
	// what the caller remembers is still as true as it was.
	Touched bool
	// Slots, one per wanted worker: a planned handle is always returned in
	// its place, "" is a slot that could not be filled.
	Slots []Handle
	PoolCounts
	// Started tells when the workers in the slots started.
	Started map[Handle]time.Time
	// Outdated is how many workers still run an older spec.
	Outdated int
	Notices  []Notice
}

// PoolCounts are how many workers of a pool do what.
type PoolCounts struct {
	Running      int
	Initializing int
	// Completed workers ended by themselves, and that is accepted.
	Completed int
	// Containers that the running and initializing workers are in.
	Containers int
}

// achieved counts the workers that a wish for running ones finds.
func (c PoolCounts) achieved(w WaitFor) int {
	n := c.Running + c.Completed
	if w == WaitForNone {
		n += c.Initializing
	}
	return n
}

// SetWorkerNumber brings a pool to the wanted number of workers of the wanted
// spec, connected to the server's current launch. It creates, heals, adopts,
// scales and updates. Whatever happens, the result tells the truth.
//
// Errors: [ExistsError] if Create finds what it may not take;
// [ShortfallError] if fewer than MinWorkers are there in the end;
// [UpdateError] if enough are, but some still of the old spec.
func (m *Manager) SetWorkerNumber(ctx context.Context, req PoolRequest) (PoolResult, error) {
	if err := checkScope(req.Scope); err != nil {
		return PoolResult{}, err
	}
	if req.Scope.Pool == "" || req.Workers < 0 || (req.Slots != nil && len(req.Slots) != req.Workers) {
		return PoolResult{}, Errorf(ClassInvalid, "", "worker pool %q: %d workers with %d slots cannot be asked for", req.Scope.Pool, req.Workers, len(req.Slots))
	}
	if req.Slots == nil {
		req.Slots = make([]Handle, req.Workers)
	}
	req.MaxWorkers = max(1, req.MaxWorkers)
	if m.can.Packer != nil {
		req.MaxWorkers = max(1, min(req.MaxWorkers, m.can.Packer.MaxWorkersPerContainer(req.Worker.Hardware)))
	}
	op := &poolOp{m: m, req: req, hash: req.Worker.Hash(), tokens: map[string]bool{}, known: map[Handle]bool{}}
	world, err := op.look(ctx, true)
	if err != nil {
		return PoolResult{}, err
	}
	if req.Create && req.OnExisting != OnExistingAdopt {
		if foreign := notOurs(world, m.opts.Owner); len(foreign) > 0 {
			return PoolResult{}, &ExistsError{Scope: req.Scope, Role: RoleWorker, Members: foreign}
		}
	}
	if workersOf(world) > req.Workers {
		op.askBusy(ctx)
	}
	op.decide(world)
	if err := op.preflight(ctx); err != nil {
		return PoolResult{}, err
	}
	if m.can.Preparer != nil && op.plan.launch > 0 {
		if err := m.can.Preparer.Prepare(ctx, req.Scope, req.Worker.Options); err != nil {
			return PoolResult{}, wrap(err, "preparing for worker pool "+req.Scope.Pool)
		}
	}
	op.act(ctx)
	return op.conclude(ctx)
}

// notOurs are the members that a create may not take without being told to.
func notOurs(world []Member, owner string) []Member {
	return slices.DeleteFunc(slices.Clone(world), func(c Member) bool { return owner != "" && c.Owner == owner })
}

// poolOp is one SetWorkerNumber at work.
type poolOp struct {
	m    *Manager
	req  PoolRequest
	hash string

	plan    poolPlan
	tokens  map[string]bool // of the Runs of this operation
	watched []watched       // what has to come up, in order
	ended   map[Handle]bool // of watched: seen to have stopped
	counted []Member        // what the result counts
	busy    map[string]bool // names of containers that are known to have a task
	known   map[Handle]bool // of started: the server has known them

	causes   []error // why workers could not be started or counted
	leftover []error // what could not be stopped
	failures []Failure
	notices  []Notice
}

// watched is a container that has to come up before the operation is done.
type watched struct {
	Member
	// ours is true if this operation started it, false if it was adopted while
	// it was initializing.
	ours bool
}

// started are the containers that this operation started.
func (op *poolOp) started() []Member {
	out := make([]Member, 0, len(op.watched))
	for _, w := range op.watched {
		if w.ours {
			out = append(out, w.Member)
		}
	}
	return out
}

// poolPlan is what an operation decided to do.
type poolPlan struct {
	kept    []Member // in planned slots
	adopted []Member // fill empty slots
	launch  int      // workers to start
	victims []Member // surplus: stopped once what replaces them runs
	retire  []Member // of an older spec: replaced as the update policy says
	stale   []Member // of another launch: stopped before anything is started
	dead    []Member // stopped: reported and removed
	lost    []Handle // planned to stay but not alive any more
}

// look lists the pool's containers and asks for those that the caller
// remembers and the list does not show. Patient as in recalled.
func (op *poolOp) look(ctx context.Context, patient bool) ([]Member, error) {
	m, s := op.m, op.req.Scope
	world, err := m.Containers(ctx, Selector{Namespace: s.Namespace, Cluster: s.Cluster, Pool: s.Pool, Role: RoleWorker})
	if err != nil {
		return nil, err
	}
	return m.recallWorkers(ctx, world, recalled{
		Scope: s, Handles: op.req.Known, Launch: op.req.KnownLaunch, Hash: op.req.KnownHash, Patient: patient,
	})
}

// recalled are handles that a caller remembers, one per worker.
type recalled struct {
	Scope   Scope
	Handles []Handle
	Launch  string
	Hash    string
	// Patient: they may have been started just now, so one that the backend
	// does not know is asked for until its visibility lag is over.
	Patient bool
}

// recallWorkers adds to a listed world the remembered containers that the list
// does not show but the backend still knows.
func (m *Manager) recallWorkers(ctx context.Context, world []Member, r recalled) ([]Member, error) {
	listed := make(map[Handle]struct{}, len(world))
	for i := range world {
		listed[world[i].Handle] = struct{}{}
	}
	workers := map[Handle]int{}
	var missing []Handle
	for _, h := range r.Handles {
		if _, ok := listed[h]; ok || h == "" {
			continue
		}
		if workers[h]++; workers[h] == 1 {
			missing = append(missing, h)
		}
	}
	if len(missing) == 0 {
		return world, nil
	}
	begun := time.Now()
	for p := m.newPause(); ; {
		seen, err := m.backend.Status(ctx, missing)
		if err != nil {
			return nil, wrap(err, "asking after the workers of pool "+r.Scope.Pool)
		}
		now := time.Now()
		missing = slices.DeleteFunc(missing, func(h Handle) bool {
			o := m.timely(seen[h], now)
			if o.Known {
				world = append(world, Member{Handle: h, Observation: o, Labels: Labels{
					Namespace: r.Scope.Namespace, Cluster: r.Scope.Cluster, Pool: r.Scope.Pool, Role: RoleWorker,
					Owner: m.opts.Owner, Launch: r.Launch, SpecHash: r.Hash, Workers: workers[h],
				}})
			}
			return o.Known
		})
		if len(missing) == 0 || !r.Patient || now.Sub(begun) >= m.props.VisibilityLag {
			return world, nil
		}
		if err := p.wait(ctx); err != nil {
			return nil, wrap(err, "asking after the workers of pool "+r.Scope.Pool)
		}
	}
}

// decide sorts the world into what stays, what goes and what is missing. It
// changes nothing.
func (op *poolOp) decide(world []Member) {
	req, p := &op.req, &op.plan
	slotted := make(map[Handle]bool, len(req.Slots))
	free := 0
	for _, h := range req.Slots {
		if h == "" {
			free++
		} else {
			slotted[h] = true
		}
	}
	known := make(map[Handle]bool, len(req.Known))
	for _, h := range req.Known {
		known[h] = true
	}
	var fits, outdated []Member
	var foreign []Member
	for _, c := range world {
		ours := c.Owner == op.m.opts.Owner || known[c.Handle] || req.Create // a create has refused what it may not take
		switch {
		case !ours:
			foreign = append(foreign, c)
		case op.completed(c) && (slotted[c.Handle] || free > 0 && c.SpecHash == op.hash):
			if slotted[c.Handle] {
				p.kept = append(p.kept, c)
			} else {
				fits = append(fits, c)
			}
		case !c.alive():
			p.dead = append(p.dead, c)
		case c.Launch != req.Server.Launch:
			p.stale = append(p.stale, c)
		case slotted[c.Handle]:
			p.kept = append(p.kept, c)
		case c.SpecHash == op.hash || req.Update.Strategy == StrategyOnReplacement:
			fits = append(fits, c)
		default:
			outdated = append(outdated, c)
		}
	}
	for _, c := range p.kept {
		delete(slotted, c.Handle)
	}
	for h := range slotted {
		p.lost = append(p.lost, h)
	}
	slices.Sort(p.lost)
	if len(foreign) > 0 {
		op.notices = append(op.notices, Notice{
			Summary: "Workers of Another Owner in the Pool",
			Detail:  "These were left alone and are not counted: " + describe(foreign) + ".",
		})
	}
	p.adopted, p.victims = op.fit(fits, free)
	have := 0
	for _, c := range p.adopted {
		have += c.Workers
	}
	p.launch = free - have
	p.retire = outdated
	if p.launch == 0 {
		// Enough of the new spec run already: the old ones are surplus.
		p.victims, p.retire = append(p.victims, outdated...), nil
	}
}

// fit chooses which containers fill the empty slots and which are too many.
func (op *poolOp) fit(fits []Member, free int) (adopted, victims []Member) {
	total := 0
	cs := make([]candidate, len(fits))
	index := make(map[Handle]int, len(fits))
	for i, c := range fits {
		total += c.Workers
		index[c.Handle] = i
		cs[i] = candidate{
			handle: c.Handle, workers: c.Workers, outdated: c.SpecHash != op.hash,
			running: c.Status == StatusRunning, busy: op.busy[c.Name], started: c.StartedAt,
		}
	}
	sortCandidates(cs, op.req.ScaleIn)
	out := map[Handle]bool{}
	for _, i := range chooseVictims(cs, total-free) {
		out[cs[i].handle] = true
		victims = append(victims, fits[index[cs[i].handle]])
	}
	for _, c := range fits {
		if !out[c.Handle] {
			adopted = append(adopted, c)
		}
	}
	// The oldest take the first slots.
	slices.SortFunc(adopted, func(a, b Member) int { return newest(b, a) })
	return adopted, victims
}

// completed tells whether a worker ended by itself and that is accepted.
func (op *poolOp) completed(c Member) bool {
	return isCompleted(c, op.req.OnExit, op.req.Server.Launch)
}

func isCompleted(c Member, on OnExit, launch string) bool {
	return on == OnExitAccept && c.Status == StatusStopped && c.ExitCode != nil && *c.ExitCode == 0 && c.Launch == launch
}
