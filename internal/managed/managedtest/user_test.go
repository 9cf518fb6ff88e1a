// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// user plays Terraform for one cluster with one pool: what it wants, and the
// state that it keeps between two processes.
//
// All waiting in it is meant for a testing/synctest bubble, where it costs
// nothing.
type user struct {
	world  *managedtest.Memory
	client *managedtest.Memory // of the process that works now
	m      *managed.Manager

	// What the configuration says.
	scope      managed.Scope
	workers    int
	maxWorkers int
	version    int // of the spec
	update     managed.UpdatePolicy
	gang       managed.GangStyle

	// The state file.
	server *managed.Server
	pool   *poolState
}

type poolState struct {
	slots, others []managed.Handle
	started       map[managed.Handle]time.Time
	launch, hash  string
	unsettled     bool // the last operation failed half-way
}

func newUser(o managedtest.MemoryOptions) *user {
	u := &user{
		world: managedtest.NewMemory(o), scope: managed.Scope{Namespace: "ns", Cluster: "sim"}, maxWorkers: 1,
		update: managed.UpdatePolicy{Strategy: managed.StrategyRolling, MaxUnavailable: 1}, gang: managed.GangSoft,
	}
	u.restart()
	return u
}

// restart is a new process of the provider.
func (u *user) restart() {
	u.client = u.world.Client()
	u.m = managed.NewManager(u.client, managed.Options{Owner: "me"})
}

func (u *user) poolScope() managed.Scope {
	s := u.scope
	s.Pool = "w"
	return s
}

func (u *user) template() managed.Template {
	t := program("work")
	t.Environment = map[string]string{"VERSION": strconv.Itoa(u.version)}
	return t
}

// apply brings server and pool to what is wanted, each after a refresh.
func (u *user) apply(ctx context.Context) error {
	if err := u.applyServer(ctx); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if err := u.applyPool(ctx); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	return nil
}

func (u *user) applyServer(ctx context.Context) error {
	req := managed.ServerRequest{
		Scope: u.scope, Framework: managedtest.Plain{}, Create: u.server == nil, OnExisting: managed.OnExistingError,
		Server: managed.ServerSpec{Template: program("serve"), Port: 6379, SameLAN: true},
	}
	if u.server != nil {
		s, err := u.m.ServerStatus(ctx, u.scope, u.server.Handle)
		if err != nil {
			return err
		}
		if s.Status == managed.StatusRunning && s.Launch == u.server.Launch {
			return nil
		}
		req.Known = u.server.Handle
	}
	s, err := u.m.RunServer(ctx, req)
	if err != nil {
		return err // the state stays as it was
	}
	u.server = &s
	return nil
}

func (u *user) applyPool(ctx context.Context) error {
	req, err := u.poolRequest(ctx)
	if err != nil {
		return err
	}
	res, err := u.m.SetWorkerNumber(ctx, req)
	if res.Touched && (err == nil || u.pool != nil || slices.ContainsFunc(res.Slots, func(h managed.Handle) bool { return h != "" })) {
		u.pool = &poolState{slots: res.Slots, started: res.Started, launch: req.Server.Launch, hash: req.Worker.Hash(), unsettled: err != nil || res.Outdated > 0}
		// Until a refresh shows them no more, they may be there.
		u.pool.others = slices.DeleteFunc(slices.Clone(req.Known), func(h managed.Handle) bool {
			return h == "" || slices.Contains(res.Slots, h)
		})
		if res.Outdated > 0 {
			u.pool.hash = "" // of what kind they are only labels can tell
		}
	}
	if err == nil && len(res.Notices) == 0 {
		if err := u.slotsAreTheWorld(); err != nil {
			return fmt.Errorf("the operation succeeded without a word, but %w", err)
		}
	}
	return err
}

// poolRequest is what a refresh and a plan make of the wish.
func (u *user) poolRequest(ctx context.Context) (managed.PoolRequest, error) {
	req := managed.PoolRequest{
		Scope: u.poolScope(), Framework: managedtest.Plain{}, Worker: u.template(), MaxWorkers: u.maxWorkers,
		Workers: u.workers, MinWorkers: u.workers, ScaleIn: managed.ScaleInNewest, Gang: u.gang,
		WaitFor: managed.WaitForRunning, OnExit: managed.OnExitReplace, Update: u.update,
		Create: u.pool == nil, OnExisting: managed.OnExistingError,
	}
	var err error
	if req.Server, err = u.m.ConnectServer(ctx, u.scope, u.server.Launch); err != nil {
		return req, err
	}
	if u.pool == nil {
		return req, nil
	}
	v, err := u.m.PoolStatus(ctx, managed.PoolQuery{
		Scope: req.Scope, Slots: u.pool.slots, Others: u.pool.others, KnownLaunch: u.pool.launch, KnownHash: u.pool.hash,
		OnExit: req.OnExit, WaitFor: req.WaitFor,
	})
	if err != nil {
		return req, err
	}
	u.pool.slots, u.pool.started, u.pool.others = v.Slots, v.Started, v.Others
	req.Known, req.KnownLaunch, req.KnownHash = slices.Concat(v.Slots, v.Others), u.pool.launch, u.pool.hash
	if u.pool.hash == req.Worker.Hash() && !u.pool.unsettled {
		req.Slots = managed.PlanSlots(v.Slots, u.workers, req.ScaleIn, v.Started)
	}
	return req, nil
}

// destroy removes the pool and then the cluster, as far as the state has them.
func (u *user) destroy(ctx context.Context) error {
	if u.pool != nil {
		if _, err := u.m.Cleanup(ctx, managed.CleanupRequest{Scope: u.poolScope(), Known: slices.Concat(u.pool.slots, u.pool.others)}); err != nil {
			return err
		}
		u.pool = nil
	}
	if u.server != nil {
		if _, err := u.m.Cleanup(ctx, managed.CleanupRequest{Scope: u.scope, Known: []managed.Handle{u.server.Handle}}); err != nil {
			return err
		}
		u.server = nil
	}
	return nil
}

// alive are the cluster's containers of a role that have not stopped.
func (u *user) alive(role managed.Role) []managed.Container {
	return slices.DeleteFunc(u.world.Snapshot().Containers, func(c managed.Container) bool {
		return c.Status == managed.StatusStopped || c.Labels[managed.LabelRole] != string(role) || c.Labels[managed.LabelCluster] != u.scope.Cluster
	})
}

// slotsAreTheWorld compares the state's slots with the workers that are alive.
func (u *user) slotsAreTheWorld() error {
	inWorld := map[managed.Handle]int{}
	for _, c := range u.alive(managed.RoleWorker) {
		labels, _ := managed.ParseLabels(c.Labels)
		inWorld[c.Handle] = labels.Workers
	}
	inSlots := map[managed.Handle]int{}
	for _, h := range u.pool.slots {
		if h != "" {
			inSlots[h]++
		}
	}
	if !maps.Equal(inWorld, inSlots) {
		return fmt.Errorf("the world has %v and the slots %v", inWorld, inSlots)
	}
	return nil
}

// check holds the world to what is wanted, exactly.
func (u *user) check(t *testing.T) {
	t.Helper()
	snapshot := u.world.Snapshot()
	servers, workers := 0, 0
	for _, c := range snapshot.Containers {
		labels, _ := managed.ParseLabels(c.Labels)
		if labels.Cluster != u.scope.Cluster {
			continue
		}
		if c.Status != managed.StatusRunning {
			t.Errorf("%s %s is %s (%s) and still there", labels.Role, c.Handle, c.Status, c.Reason)
		}
		if labels.Launch != u.server.Launch {
			t.Errorf("%s %s is of another launch", labels.Role, c.Handle)
		}
		if labels.Role == managed.RoleServer {
			servers++
			if c.Handle != u.server.Handle {
				t.Errorf("the server is %s, the state says %s", c.Handle, u.server.Handle)
			}
			continue
		}
		workers += labels.Workers
		if want := u.template().Hash(); labels.SpecHash != want {
			t.Errorf("worker %s has an old spec", c.Handle)
		}
	}
	if servers != 1 || workers != u.workers {
		t.Errorf("there are %d servers and %d workers, wanted are 1 and %d", servers, workers, u.workers)
	}
	if err := u.slotsAreTheWorld(); err != nil {
		t.Error(err)
	}
	if slices.Contains(u.pool.slots, "") || len(u.pool.slots) != u.workers {
		t.Errorf("the slots are %q for %d workers", u.pool.slots, u.workers)
	}
	if !slices.Contains(snapshot.Secrets, u.scope) {
		t.Errorf("there is no secret")
	}
}

// checkGone holds the world to being empty.
func (u *user) checkGone(t *testing.T) {
	t.Helper()
	if s := u.world.Snapshot(); !s.Empty() {
		t.Errorf("left behind: %d containers, %d secrets, %d artifacts", len(s.Containers), len(s.Secrets), len(s.Artifacts))
	}
}

// within gives an operation its time, which costs nothing in a bubble.
func within(t *testing.T, f func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	return f(ctx)
}

// settle is the clean run after a fault: another process, nothing goes wrong.
func (u *user) settle(t *testing.T) {
	t.Helper()
	u.world.SetFaults()
	u.restart()
	if err := within(t, u.apply); err != nil {
		t.Fatalf("the clean apply: %v", err)
	}
	time.Sleep(10 * time.Second) // what was stopped has to go
	u.check(t)
	if t.Failed() {
		return
	}
	// And once more there is nothing to do.
	runs, kills := u.world.Count(managedtest.VerbRun), u.world.Count(managedtest.VerbKill)
	if err := within(t, u.apply); err != nil {
		t.Fatalf("the second clean apply: %v", err)
	}
	if u.world.Count(managedtest.VerbRun) != runs || u.world.Count(managedtest.VerbKill) != kills {
		t.Errorf("a second apply started or stopped something")
	}
	u.check(t)
	if err := within(t, u.destroy); err != nil {
		t.Fatalf("the destroy: %v", err)
	}
	time.Sleep(10 * time.Second)
	u.checkGone(t)
}
