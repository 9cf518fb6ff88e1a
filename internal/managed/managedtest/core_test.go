// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed/managedtest"
)

// serverRequest for a user's cluster.
func (u *user) serverRequest() managed.ServerRequest {
	return managed.ServerRequest{
		Scope: u.scope, Framework: managedtest.Plain{}, Create: true, OnExisting: managed.OnExistingError,
		Server: managed.ServerSpec{Template: program("serve"), Port: 6379, SameLAN: true},
	}
}

// says checks class and words of an error.
func says(t *testing.T, err error, class managed.Class, words ...string) {
	t.Helper()
	if err == nil || class != "" && managed.ClassOf(err) != class {
		t.Errorf("the error is %v (class %q, not %q)", err, managed.ClassOf(err), class)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in the error: %v", w, err)
		}
	}
}

// TestKillThatFails (M8): what could not be killed is named, nothing is
// forgotten, and the next operation tries again.
func TestKillThatFails(t *testing.T) {
	t.Parallel()
	refuse := managedtest.Fault{Verb: managedtest.VerbKill, Kind: managedtest.Partial, Class: managed.ClassPermission}
	t.Run("scale down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			u := created(t, managedtest.MemoryOptions{}, 3)
			victim := u.pool.slots[2]
			u.world.SetFaults(refuse)
			u.workers = 2
			says(t, within(t, u.apply), managed.ClassPermission, string(victim))
			if len(u.alive(managed.RoleWorker)) != 3 {
				t.Error("a refused kill killed")
			}
			u.settle(t)
		})
	})
	t.Run("destroy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			u := created(t, managedtest.MemoryOptions{}, 2)
			u.world.SetFaults(refuse)
			says(t, within(t, u.destroy), managed.ClassPermission, string(u.pool.slots[0]), string(u.pool.slots[1]))
			if s := u.world.Snapshot(); len(s.Secrets) != 1 || len(s.Containers) != 3 {
				t.Errorf("a destroy that failed left %d containers and %d secrets", len(s.Containers), len(s.Secrets))
			}
			u.settle(t)
		})
	})
	t.Run("a new server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			u := created(t, managedtest.MemoryOptions{}, 1)
			kill(t, u, u.server.Handle)
			u.world.SetFaults(refuse)
			says(t, within(t, u.apply), managed.ClassPermission, string(u.server.Handle))
			u.settle(t)
		})
	})
}

func TestServerFromElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUser(managedtest.MemoryOptions{})
		ctx := t.Context()
		own, err := u.m.RunServer(ctx, u.serverRequest())
		if err != nil {
			t.Fatal(err)
		}
		// The cluster moves to a server from elsewhere: its own is stopped.
		req := u.serverRequest()
		req.Create, req.Known = false, own.Handle
		req.External = &managed.External{Endpoint: managed.Endpoint{PrivateIP: "10.1.2.3", PrivatePort: 7000}, Password: "theirs"}
		s, err := u.m.RunServer(ctx, req)
		if err != nil || !s.External || len(u.alive(managed.RoleServer)) != 0 {
			t.Fatalf("moving to a server from elsewhere: %+v, %v", s, err)
		}
		// Again, and interrupted before the state was written: the same launch.
		req.Create, req.Known = true, ""
		if again, err := u.m.RunServer(ctx, req); err != nil || again.Launch != s.Launch {
			t.Errorf("created again: launch %q, not %q (%v)", again.Launch, s.Launch, err)
		}
		// Somebody else may not, unless they adopt it.
		other := managed.NewManager(u.world.Client(), managed.Options{Owner: "other"})
		_, err = other.RunServer(ctx, req)
		says(t, err, "", "exists already", "owner me")
		adopt := req
		adopt.OnExisting = managed.OnExistingAdopt
		if adopted, err := other.RunServer(ctx, adopt); err != nil || adopted.Launch != s.Launch {
			t.Errorf("adopted: launch %q, not %q (%v)", adopted.Launch, s.Launch, err)
		}
		// Another password: the workers have to restart.
		moved := *req.External
		moved.Password = "changed"
		req.External, req.Create = &moved, false
		if changed, err := u.m.RunServer(ctx, req); err != nil || changed.Launch == s.Launch {
			t.Errorf("another password keeps the launch (%v)", err)
		}
		if e, err := u.m.ServerEndpoint(ctx, u.scope); err != nil || e.PrivatePort != 7000 {
			t.Errorf("the endpoint is %+v (%v)", e, err)
		}
		if _, err := u.m.Cleanup(ctx, managed.CleanupRequest{Scope: u.scope}); err != nil {
			t.Fatal(err)
		}
		u.checkGone(t)
		_, err = u.m.ServerEndpoint(ctx, u.scope)
		says(t, err, managed.ClassNotFound, "no running server")
	})
}

// TestRefusedBeforeAnythingRuns: what can be known wrong is said while the old
// containers are untouched.
func TestRefusedBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{Properties: managed.Properties{MaxLabelValue: 64}}, 2)
		runs, kills := u.world.Count(managedtest.VerbRun), u.world.Count(managedtest.VerbKill)
		req := u.serverRequest()
		req.Create, req.Known = false, u.server.Handle
		req.Server.Image = "missing"
		_, err := u.m.RunServer(t.Context(), req)
		says(t, err, managed.ClassInvalid, "missing")
		if managed.AttributeOf(err) != "container.image" {
			t.Errorf("it is about the attribute %q", managed.AttributeOf(err))
		}
		req.Server.Image, req.Server.Labels = "memory", map[string]string{"long": strings.Repeat("x", 65)}
		_, err = u.m.RunServer(t.Context(), req)
		says(t, err, managed.ClassInvalid, "long", "65 bytes")
		pool, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pool.Slots, pool.Worker.Image = nil, "missing"
		res, err := u.m.SetWorkerNumber(t.Context(), pool)
		says(t, err, managed.ClassInvalid, "missing")
		if res.Touched {
			t.Error("a refused operation says that it touched something")
		}
		pool.Worker.Image, pool.Worker.Labels, pool.Update.Strategy = "new", req.Server.Labels, managed.StrategyRecreate
		_, err = u.m.SetWorkerNumber(t.Context(), pool)
		says(t, err, managed.ClassInvalid, "long")
		if u.world.Count(managedtest.VerbRun) != runs || u.world.Count(managedtest.VerbKill) != kills {
			t.Errorf("refused operations made %d Runs and %d Kills", u.world.Count(managedtest.VerbRun)-runs, u.world.Count(managedtest.VerbKill)-kills)
		}
	})
}

func TestFreePort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUser(managedtest.MemoryOptions{})
		req := u.serverRequest()
		req.Server.Port = 0
		s, err := u.m.RunServer(t.Context(), req)
		if err != nil || s.Endpoint.PrivatePort < 20000 {
			t.Errorf("port 0 became %+v (%v)", s.Endpoint, err)
		}
		u = newUser(managedtest.MemoryOptions{Without: []managedtest.Capability{managedtest.CapPortPicker}})
		_, err = u.m.RunServer(t.Context(), req)
		says(t, err, managed.ClassInvalid, "cannot pick a free port")
	})
}

// grows is a pool of so many workers that is asked to have more.
func grows(t *testing.T, from, to int) (*user, managed.PoolRequest) {
	t.Helper()
	u := created(t, managedtest.MemoryOptions{}, from)
	u.workers = to
	req, err := u.poolRequest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return u, req
}

func TestConnectServerSaysWhy(t *testing.T) {
	t.Parallel()
	connect := func(t *testing.T, u *user, launch string) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		begun := time.Now()
		_, err := u.m.ConnectServer(ctx, u.scope, launch)
		t.Logf("after %v: %v", time.Since(begun), err)
		return err
	}
	synctest.Test(t, func(t *testing.T) {
		u := newUser(managedtest.MemoryOptions{})
		says(t, connect(t, u, ""), managed.ClassNotFound, "there is no cluster")
		u = created(t, managedtest.MemoryOptions{}, 1)
		says(t, connect(t, u, "another"), managed.ClassNotFound, "another", u.server.Launch)
		kill(t, u, u.server.Handle)
		says(t, connect(t, u, u.server.Launch), managed.ClassNotFound, "does not run", "137")
		u = newUser(managedtest.MemoryOptions{StartDelay: time.Hour, Properties: managed.Properties{StartDeadline: 2 * time.Hour}})
		go func() { _, _ = u.m.RunServer(t.Context(), u.serverRequest()) }()
		time.Sleep(time.Second)
		says(t, connect(t, u, ""), managed.ClassDeadline, "did not start in time")
		time.Sleep(2 * time.Hour)
	})
}

// TestSecretThatIsDamaged: it is said without showing it.
func TestSecretThatIsDamaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 1)
		if err := u.world.PutSecret(t.Context(), u.scope, []byte(`{"password": "hush`), nil); err != nil {
			t.Fatal(err)
		}
		_, err := u.m.ConnectServer(t.Context(), u.scope, "")
		says(t, err, managed.ClassInvalid, "damaged")
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("the error shows the secret: %v", err)
		}
	})
}

// TestDamagedSecretCanBeDestroyed: the advice that the error gives works.
func TestDamagedSecretCanBeDestroyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 1)
		if err := u.world.PutSecret(t.Context(), u.scope, []byte(`{`), nil); err != nil {
			t.Fatal(err)
		}
		if err := within(t, u.destroy); err != nil {
			t.Fatalf("destroying a cluster whose secret is damaged: %v", err)
		}
		u.checkGone(t)
	})
}

// TestTwoCreatesAtOnce: two processes of one owner create the same cluster.
// Whatever each says, the next apply makes it right: also if the container of
// one of them is refused after it has kept its secret.
func TestTwoCreatesAtOnce(t *testing.T) {
	t.Parallel()
	for _, faults := range [][]managedtest.Fault{
		nil,
		{{Verb: managedtest.VerbRun, Call: 1, Kind: managedtest.Fail, Class: managed.ClassConflict}},
		{{Verb: managedtest.VerbRun, Call: 2, Kind: managedtest.Fail, Class: managed.ClassConflict}},
	} {
		for _, latency := range []time.Duration{0, time.Millisecond} {
			for range 20 { // which of the two does what first is chance
				synctest.Test(t, func(t *testing.T) {
					u := newUser(managedtest.MemoryOptions{Latency: latency, StartDelay: time.Second})
					u.workers = 3
					u.world.SetFaults(faults...)
					other := *u
					other.restart()
					var g sync.WaitGroup
					for _, one := range []*user{u, &other} {
						g.Go(func() { _ = within(t, one.apply) }) // one may stop the other's server
					}
					g.Wait()
					u.settle(t)
				})
			}
		}
	}
}

// TestSecretOfAnotherLaunch: a password that is not the server's is never
// handed out, and what helps is said.
func TestSecretOfAnotherLaunch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 1)
		if err := u.world.PutSecret(t.Context(), u.scope, []byte(`{"v":1,"owner":"me","launch":"another","password":"hush"}`), nil); err != nil {
			t.Fatal(err)
		}
		_, err := u.m.Credentials(t.Context(), u.scope)
		says(t, err, managed.ClassConflict, "not that of the server which runs", "replace")
		err = within(t, func(ctx context.Context) error {
			_, err := u.m.ConnectServer(ctx, u.scope, u.server.Launch)
			return err
		})
		says(t, err, managed.ClassConflict, "not that of the server which runs", "replace")
		u.server = nil // a replacement
		u.settle(t)
	})
}

// TestWorkersAloneAreACluster: what is left of a cluster without a server is
// found, and can be removed.
func TestWorkersAloneAreACluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 2)
		u.world.Vanish(u.server.Handle)
		found, err := u.m.Clusters(t.Context(), managed.Selector{Namespace: u.scope.Namespace})
		if err != nil || len(found) != 1 || found[0].Server.Found || found[0].Owner != "me" || len(found[0].Pools[0].Members) != 2 {
			t.Errorf("found %+v (%v)", found, err)
		}
		_, err = u.m.Reconnect(t.Context(), u.scope)
		says(t, err, managed.ClassNotFound)
		u.settle(t)
	})
}

func TestSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 2)
		left, err := u.m.Leftovers(t.Context(), managed.Selector{})
		if err != nil || len(left.Members) != 3 || len(left.Artifacts) != 1 {
			t.Fatalf("left over: %+v (%v)", left, err)
		}
		u.world.SetFaults(managedtest.Fault{Verb: managedtest.VerbKillArtifacts, Kind: managedtest.Fail})
		says(t, u.m.Sweep(t.Context(), left), managed.ClassTransient)
		u.world.SetFaults()
		if err := u.m.Sweep(t.Context(), left); err != nil {
			t.Fatal(err)
		}
		if s := u.world.Snapshot(); len(s.Containers)+len(s.Artifacts) > 0 {
			t.Errorf("a sweep left %d containers and %d artifacts", len(s.Containers), len(s.Artifacts))
		}
	})
}

// TestErrorsNameHandles: a person who is refused knows what stands in the way.
func TestErrorsNameHandles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := created(t, managedtest.MemoryOptions{}, 12)
		other := managed.NewManager(u.world.Client(), managed.Options{Owner: "other"})
		_, err := other.RunServer(t.Context(), u.serverRequest())
		says(t, err, "", string(u.server.Handle), "owner me")
		req, err := u.poolRequest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req.Create, req.Known, req.Slots = true, nil, nil
		_, err = other.SetWorkerNumber(t.Context(), req)
		says(t, err, "", "worker pool \"w\"", "and 2 more")
		_, err = other.Cleanup(t.Context(), managed.CleanupRequest{Scope: u.scope})
		says(t, err, "", "another owner", "and 3 more")
		if !slices.ContainsFunc(u.pool.slots, func(h managed.Handle) bool { return strings.Contains(err.Error(), string(h)) }) {
			t.Errorf("no worker is named: %v", err)
		}
	})
}

// TestCountingWhereTheServerHasNoName: that is known at once, and not after the
// pool's whole time.
func TestCountingWhereTheServerHasNoName(t *testing.T) {
	t.Parallel()
	u := newUser(managedtest.MemoryOptions{})
	req := managed.PoolRequest{
		Scope: u.poolScope(), Framework: managedtest.Counting{}, Worker: u.template(), Workers: 1, MinWorkers: 1,
		Server:  managed.ServerAddress{Host: "server.invalid", Port: 6379, Launch: "one"},
		WaitFor: managed.WaitForRegistered, Gang: managed.GangHard,
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := u.m.SetWorkerNumber(ctx, req)
	says(t, err, "", "is not known where Terraform runs", `use wait_for = "running"`)
	if ctx.Err() != nil {
		t.Error("it took the whole time")
	}
}

// TestWorkersThatEndBeforeTheyAreCounted: with on_exit = "accept" nobody waits
// for those whose work is done.
func TestWorkersThatEndBeforeTheyAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, req := grows(t, 1, 3)
		req.Framework, req.WaitFor, req.OnExit = told{}, managed.WaitForRegistered, managed.OnExitAccept
		go func() {
			time.Sleep(30 * time.Second)
			for _, c := range u.alive(managed.RoleWorker) {
				_ = u.world.Stop(c.Handle, 0)
			}
		}()
		begun := time.Now()
		res, err := u.m.SetWorkerNumber(t.Context(), req)
		if err != nil || time.Since(begun) > time.Minute {
			t.Errorf("%+v after %s: %v", res, time.Since(begun), err)
		}
	})
}

// TestWorkersThatDieBeforeTheyRegister: one that ends after the second look is
// told at once, and not after the pool's whole time.
func TestWorkersThatDieBeforeTheyRegister(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u, req := grows(t, 1, 3)
		first := u.pool.slots[0]
		req.Framework, req.WaitFor = told{workers: []managed.RegisteredWorker{{Container: "container-" + string(first)}}}, managed.WaitForRegistered
		go func() {
			time.Sleep(30 * time.Second)
			for _, c := range u.alive(managed.RoleWorker) {
				if c.Handle != first {
					_ = u.world.Stop(c.Handle, 1)
				}
			}
		}()
		begun := time.Now()
		res, err := u.m.SetWorkerNumber(t.Context(), req)
		if time.Since(begun) > time.Minute || res.Running != 1 || !slices.Equal(res.Slots, []managed.Handle{first, "", ""}) {
			t.Errorf("after %s: %+v", time.Since(begun), res)
		}
		says(t, err, "", "has 1 of 3 workers registered", "exited with code 1")
	})
}
