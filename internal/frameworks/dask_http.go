// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// daskAllRoutes of the scheduler's HTTP server: dask's own defaults, and the
// API, which is not one of them.
const daskAllRoutes = `["distributed.http.scheduler.prometheus", "distributed.http.scheduler.info", "distributed.http.scheduler.json", ` +
	`"distributed.http.health", "distributed.http.proxy", "distributed.http.statics", "distributed.http.scheduler.api"]`

// daskSchedulerExtension is Python that the scheduler loads when it starts.
//
// It adds the route for [dask.Drain]. Dask's own retire_workers does not wait
// for running tasks: it drops the worker, and they run a second time somewhere
// else. So this first pauses the workers, just as retire_workers does, and
// retires each when it runs nothing any more. What a paused worker has been
// given and not begun never begins. It goes back to the scheduler, but once
// only: a task that is meant for this worker is sent to it again, paused or
// not. The heartbeats tell which tasks have begun. It takes three of them,
// because one can cross with the order to pause, and another with the news
// that a task has ended.
//
// And it ends the scheduler if its HTTP port was taken, where dask would take
// any other one with a warning, and we would talk to a stranger.
const daskSchedulerExtension = `import asyncio, json, os
from distributed.core import Status
from distributed.http.utils import RequestHandler

drains = {}

def pause(scheduler, ws):
    stimulus = "dockerparallel-drain"
    scheduler.handle_worker_status_change(Status.closing_gracefully, ws, stimulus)
    scheduler.stream_comms[ws.address].send(
        {"op": "worker-status-change", "status": ws.status.name, "stimulus_id": stimulus})

async def drain(scheduler, ws):
    beats, back, heard = {}, set(), ws.last_seen # beats without it, of each task
    while scheduler.workers.get(ws.address) is ws and any(beats.get(ts, 0) < 3 for ts in ws.processing):
        await asyncio.sleep(0.05)
        if ws.last_seen == heard:
            continue
        heard = ws.last_seen
        beats = {ts: beats.get(ts, 0) + 1 for ts in ws.processing if ts not in ws.executing}
        new = {ts.key for ts, n in beats.items() if n >= 3} - back
        back |= new
        if new:
            scheduler.transitions(dict.fromkeys(new, "released"), stimulus_id="dockerparallel-drain")
    await scheduler.retire_workers(workers=[ws.address], close_workers=True)

class Drain(RequestHandler):
    def post(self):
        scheduler = self.server
        for ws in [ws for ws in drains if scheduler.workers.get(ws.address) is not ws]:
            del drains[ws]
        asked = [scheduler.workers[a] for a in json.loads(self.request.body)["workers"] if a in scheduler.workers]
        new = [ws for ws in asked if ws not in drains]
        for ws in new: # all before any: none of them is to take the results of another
            pause(scheduler, ws)
        for ws in new:
            drains[ws] = asyncio.ensure_future(drain(scheduler, ws))
        self.write({"stuck": [ws.address for ws in asked if drains[ws].done()]})

def dask_setup(scheduler):
    port = int(os.environ["DOCKERPARALLEL_DASK_DASHBOARD_PORT"])
    if scheduler.http_server.port != port:
        raise SystemExit("port %d, for the dashboard, is in use by another program" % port)
    scheduler.http_application.add_handlers(".*$", [("/dockerparallel/drain", Drain, {"dask_server": scheduler})])
`

// ProbeServer implements managed.ServerProber: the scheduler answers over
// HTTP, and listens where workers and clients connect.
func (dask) ProbeServer(ctx context.Context, dial managed.DialFunc, _ managed.Facts) error {
	server := newDaskHTTP(dial)
	if err := server.get(ctx, "/health", nil); err != nil {
		return err
	}
	return server.listens(ctx)
}

// TellsIdle implements managed.IdleTeller. A worker is busy while it runs a
// task or has one to run; a worker that only holds results is idle, because
// Drain moves them to others. What the scheduler knows is up to a heartbeat
// old: half a second, a few seconds with hundreds of workers.
func (dask) TellsIdle() {}

// RegisteredWorkers implements managed.WorkerLister. Each process of dask's
// counts as one worker.
func (dask) RegisteredWorkers(ctx context.Context, dial managed.DialFunc, f managed.Facts) ([]managed.RegisteredWorker, error) {
	known, err := newDaskHTTP(dial).workers(ctx)
	if err != nil {
		return nil, err
	}
	return known.ofPool(f), nil
}

// Drain implements managed.Drainer. The workers get no more tasks, finish
// those that they run, hand their results to others and leave.
//
// A scheduler that this provider did not start has only dask's own API, if
// that: there, the workers go on getting tasks, and leave at a moment when they
// have none.
func (dask) Drain(ctx context.Context, dial managed.DialFunc, f managed.Facts, containers []string) error {
	server := newDaskHTTP(dial)
	step, foreign, failed := server.drain, false, 0
	for {
		left, stuck, err := step(ctx, f, containers)
		switch {
		case err == nil && left == 0:
			return nil
		case err == nil && stuck == left:
			return managed.Errorf(managed.ClassTransient, "", "%d of the workers hold results or actors that no other worker can take, and take them along", stuck)
		case err == nil:
			failed = 0
		case errors.As(err, new(daskNoRoute)) && !foreign:
			step, foreign = server.retire, true
			continue
		case errors.As(err, new(daskNoRoute)), ctx.Err() != nil:
			return err
		default:
			// A connection may break; a scheduler that is gone needs no drain.
			if failed++; failed == 5 {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return unanswered(ctx, fmt.Errorf("%d workers have not finished their tasks", left))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// daskNoRoute is what a scheduler of somebody else's answers.
type daskNoRoute struct{ path string }

func (e daskNoRoute) Error() string {
	return "the scheduler has no " + e.path + ": it was not started by this provider, and has to have distributed.http.scheduler.api in distributed.scheduler.http.routes for workers to hand over their results"
}

// daskWorkers are the workers that a scheduler knows, by address.
type daskWorkers map[string]daskWorkerState

type daskWorkerState struct {
	Name    any `json:"name"` // mostly a string, but a number is possible
	Metrics struct {
		Tasks map[string]int `json:"task_counts"`
	} `json:"metrics"`
}

// busy is a worker that runs a task or has one to run. One that only holds
// results is not.
func (w daskWorkerState) busy() bool {
	for _, state := range []string{"executing", "long-running", "ready", "constrained", "waiting"} {
		if w.Metrics.Tasks[state] > 0 {
			return true
		}
	}
	return false
}

// ofPool are the workers of f's pool.
func (known daskWorkers) ofPool(f managed.Facts) []managed.RegisteredWorker {
	var list []managed.RegisteredWorker
	for _, w := range known {
		container, ok := daskContainer(w.Name, f)
		if ok {
			list = append(list, managed.RegisteredWorker{Container: container, Workers: 1, Busy: w.busy()})
		}
	}
	return list
}

// in are the addresses of the workers in these containers.
func (known daskWorkers) in(f managed.Facts, containers []string) []string {
	addresses := []string{} // in JSON not null
	for address, w := range known {
		if container, ok := daskContainer(w.Name, f); ok && slices.Contains(containers, container) {
			addresses = append(addresses, address)
		}
	}
	slices.Sort(addresses)
	return addresses
}

// daskContainer reads a container's name back from the worker's. It is false
// for workers of other pools.
func daskContainer(name any, f managed.Facts) (string, bool) {
	text, _ := name.(string)
	rest, ok := strings.CutPrefix(text, daskPoolName(f)+":")
	if !ok {
		return "", false
	}
	container, _, _ := strings.Cut(rest, ":")
	return container, true
}

// daskHTTP is a scheduler's HTTP API.
type daskHTTP struct{ httpServer }

func newDaskHTTP(dial managed.DialFunc) daskHTTP {
	s := httpServer{dial: dial, port: daskDashboard, what: "the Dask scheduler"}
	s.status = func(resp *http.Response) error {
		if resp.StatusCode == http.StatusNotFound && resp.Request.Method == http.MethodPost {
			return &managed.Error{Class: managed.ClassTransient, Err: daskNoRoute{resp.Request.URL.Path}}
		}
		return s.otherProgram(resp)
	}
	return daskHTTP{s}
}

// workers that the scheduler knows.
func (s daskHTTP) workers(ctx context.Context) (daskWorkers, error) {
	var identity struct {
		Workers daskWorkers `json:"workers"`
	}
	err := s.get(ctx, "/json/identity.json", &identity)
	return identity.Workers, err
}

// drain has the workers in the containers drained, without waiting. It tells
// how many the scheduler still knows, and how many of them will not get any
// further.
func (s daskHTTP) drain(ctx context.Context, f managed.Facts, containers []string) (left, stuck int, err error) {
	known, err := s.workers(ctx)
	if err != nil {
		return 0, 0, err
	}
	request := map[string][]string{"workers": known.in(f, containers)}
	left = len(request["workers"])
	if left == 0 {
		return 0, 0, nil
	}
	var answer struct {
		Stuck []string `json:"stuck"`
	}
	err = s.post(ctx, "/dockerparallel/drain", request, &answer)
	return left, len(answer.Stuck), err
}

// retire does the same with dask's own API, which makes running tasks start
// again elsewhere: so it waits for a moment when there are none. The workers
// that it has retired are to get their stop signal now, because their nannies
// would start them anew.
func (s daskHTTP) retire(ctx context.Context, f managed.Facts, containers []string) (left, stuck int, err error) {
	known, err := s.workers(ctx)
	if err != nil {
		return 0, 0, err
	}
	addresses := known.in(f, containers)
	if slices.ContainsFunc(addresses, func(a string) bool { return known[a].busy() }) {
		return len(addresses), 0, nil
	}
	retired := map[string]json.RawMessage{}
	if err := s.post(ctx, "/api/v1/retire_workers", map[string][]string{"workers": addresses}, &retired); err != nil {
		return len(addresses), 0, err
	}
	left = len(addresses) - len(retired)
	return left, left, nil
}
