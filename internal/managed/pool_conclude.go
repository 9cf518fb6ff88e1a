// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// conclude looks at what was reached, records it in slots and decides what a
// shortfall means. It works on when ctx has ended.
func (op *poolOp) conclude(ctx context.Context) (PoolResult, error) {
	end, cancel := op.m.detached(ctx)
	defer cancel()
	res, err := op.truth(end)
	if err != nil {
		op.causes = append(op.causes, err)
	}
	res.Touched = true
	op.removeEnded(end)
	achieved := res.achieved(op.req.WaitFor)
	if op.req.WaitFor == WaitForRegistered && achieved > 0 {
		n, err := op.awaitRegistered(ctx, &res)
		if err != nil {
			op.causes = append(op.causes, err)
		}
		achieved = min(achieved, n)
	}
	if len(op.plan.lost) > 0 {
		op.notices = append(op.notices, Notice{
			Summary: "Workers Stopped Between Plan and Apply",
			Detail:  fmt.Sprintf("%d containers that the plan wanted to keep are not alive any more: %v. The next plan replaces them.", len(op.plan.lost), firstHandles(op.plan.lost)),
		})
	}
	err = op.judge(end, &res, achieved, ctx.Err())
	res.Notices = op.notices
	return res, err
}

// truth lists the pool a last time, stops what nothing accounts for, and fills
// the slots.
func (op *poolOp) truth(ctx context.Context) (PoolResult, error) {
	world, err := op.look(ctx, false)
	if err == nil {
		// What this operation started and the list does not show yet.
		world, err = op.m.recallWorkers(ctx, world, recalled{
			Scope: op.req.Scope, Handles: perWorker(op.started()), Launch: op.req.Server.Launch, Hash: op.hash,
		})
	}
	world = op.unseen(world)
	if err != nil {
		// The backend does not answer: what we were told last is the truth.
		world = slices.Concat(op.plan.kept, op.plan.adopted, op.started())
	}
	stays := map[Handle]bool{}
	for _, c := range slices.Concat(op.plan.kept, op.plan.adopted, op.started()) {
		stays[c.Handle] = true
	}
	leaving := map[Handle]bool{}
	for _, c := range slices.Concat(op.plan.retire, op.plan.victims) {
		leaving[c.Handle] = true
	}
	var fill, strays, surplus []Member
	byHandle := make(map[Handle]Member, len(world))
	for _, c := range world {
		live := c.alive() || op.completed(c)
		switch {
		case live && (stays[c.Handle] || op.tokens[c.Token]):
			byHandle[c.Handle] = c
			fill = append(fill, c)
		case c.alive() && leaving[c.Handle]:
			// The operation stopped half-way: this one goes on working.
			fill = append(fill, c)
			byHandle[c.Handle] = c
		case c.alive() && c.Owner == op.m.opts.Owner:
			// It appeared meanwhile: the late work of an operation that was
			// cut off, say. What finds no slot must not stay behind.
			strays = append(strays, c)
		}
	}
	res := PoolResult{Slots: slices.Clone(op.req.Slots), Started: map[Handle]time.Time{}}
	slotted := map[Handle]bool{}
	for _, h := range res.Slots {
		slotted[h] = h != ""
	}
	op.sortFill(fill, leaving)
	free := 0
	for _, h := range res.Slots {
		if h == "" {
			free++
		}
	}
	var place []Member
	for _, c := range fill {
		switch {
		case slotted[c.Handle]:
		case c.Workers <= free:
			place = append(place, c)
			free -= c.Workers
		case leaving[c.Handle] && free > 0 && op.m.can.Lister != nil:
			// It has more workers than are wanted, and it works, which what was to
			// replace it does not. The next operation finds it by the list; without
			// one, its slots would be all that is known of it.
			c.Workers = free
			place = append(place, c)
			free = 0
		default:
			surplus = append(surplus, c)
			delete(byHandle, c.Handle)
		}
	}
	for _, c := range strays {
		if c.Workers <= free && c.SpecHash == op.hash && c.Launch == op.req.Server.Launch {
			place = append(place, c)
			free -= c.Workers
			byHandle[c.Handle] = c
		} else {
			surplus = append(surplus, c)
		}
	}
	res.Slots = fillSlots(res.Slots, place)
	if err == nil && len(surplus) > 0 {
		_ = op.stop(ctx, surplus) // noted as a leftover
	}
	for h, c := range byHandle {
		res.Started[h] = c.StartedAt
		if c.SpecHash != op.hash {
			res.Outdated += c.Workers
		}
		op.counted = append(op.counted, c)
		res.count(c)
	}
	return res, err
}

// removeEnded removes what this operation started and has stopped: it has been
// reported, and would otherwise wait for the next operation.
func (op *poolOp) removeEnded(ctx context.Context) {
	if op.req.KeepFailed {
		return
	}
	var gone []Member
	for _, c := range op.watched {
		if op.ended[c.Handle] {
			gone = append(gone, c.Member)
		}
	}
	_ = op.stop(ctx, gone) // noted as a leftover
}

// unseen adds what this operation started so lately that the backend need not
// show it yet.
func (op *poolOp) unseen(world []Member) []Member {
	shown := make(map[Handle]bool, len(world))
	for _, c := range world {
		shown[c.Handle] = true
	}
	for _, c := range op.started() {
		if !shown[c.Handle] && !op.ended[c.Handle] && c.Status == StatusInitializing && time.Since(c.CreatedAt) <= op.m.props.VisibilityLag {
			world = append(world, c)
		}
	}
	return world
}

// sortFill brings containers into the order in which they take empty slots:
// those that were to leave last, and of both kinds those of the wanted spec
// first, then the oldest.
func (op *poolOp) sortFill(members []Member, leaving map[Handle]bool) {
	slices.SortFunc(members, func(a, b Member) int {
		if x, y := leaving[a.Handle], leaving[b.Handle]; x != y {
			return trueFirst(!x)
		}
		if x, y := a.SpecHash == op.hash, b.SpecHash == op.hash; x != y {
			return trueFirst(x)
		}
		return newest(b, a)
	})
}

// count adds a member that is alive or completed.
func (c *PoolCounts) count(m Member) {
	switch m.Status {
	case StatusRunning:
		c.Running += m.Workers
		c.Containers++
	case StatusInitializing:
		c.Initializing += m.Workers
		c.Containers++
	default:
		c.Completed += m.Workers
	}
}

// perWorker repeats each handle once for each of its workers.
func perWorker(members []Member) []Handle {
	var hs []Handle
	for _, c := range members {
		for range c.Workers {
			hs = append(hs, c.Handle)
		}
	}
	return hs
}

// judge is the one place that decides what a shortfall means.
// Ended is the error of the caller's context, nil if there was time enough.
func (op *poolOp) judge(ctx context.Context, res *PoolResult, achieved int, ended error) error {
	req := &op.req
	leftover := errors.Join(op.leftover...)
	if achieved >= req.Workers-op.lostWorkers() {
		if res.Outdated == 0 || len(op.plan.retire) == 0 {
			if req.Create && leftover != nil {
				// An error would taint the pool, and the next apply would destroy what works.
				op.notices = append(op.notices, Notice{Summary: "Workers Could Not Be Removed", Detail: leftover.Error() + "\nThe next apply that changes the pool tries again."})
				leftover = nil
			}
			return leftover // what it did not mean to replace is no failure
		}
		return &UpdateError{Scope: req.Scope, Wanted: req.Workers, Outdated: res.Outdated, Failures: op.failures, Causes: slices.Concat(op.causes, op.leftover)}
	}
	short := &ShortfallError{
		Scope: req.Scope, Wanted: req.Workers, Min: req.MinWorkers, Achieved: achieved,
		Registered: req.WaitFor == WaitForRegistered, Failures: op.failures, Causes: slices.Concat(op.causes, op.leftover),
	}
	interrupted := errors.Is(ended, context.Canceled)
	switch {
	case interrupted:
		short.Causes = append(short.Causes, Errorf(ClassCanceled, "", "the operation was interrupted"))
	case ended != nil:
		short.Causes = append(short.Causes, Errorf(ClassDeadline, "", "the time for the operation was over"))
	}
	switch {
	case achieved >= req.MinWorkers && !interrupted && leftover == nil:
		op.notices = append(op.notices, Notice{
			Summary: "Fewer Workers Than Wanted",
			Detail:  short.Error() + "\nThe next plan tops up.",
		})
		return nil
	case req.Gang == GangHard:
		short.RolledBack = op.rollBack(ctx, res)
		return short
	case req.Create && res.Running+res.Initializing+res.Completed > 0:
		// An error would taint the pool, and the next apply would destroy what works.
		op.notices = append(op.notices, Notice{
			Summary: "Fewer Workers Than Required",
			Detail:  short.Error() + "\nThe workers that run are kept; the next plan tops up.",
		})
		return nil
	}
	return short
}

// lostWorkers are those that stopped between plan and apply: the next plan
// replaces them, so this operation is not blamed.
func (op *poolOp) lostWorkers() int {
	n := 0
	for _, h := range op.req.Slots {
		if _, lost := slices.BinarySearch(op.plan.lost, h); lost {
			n++
		}
	}
	return n
}

// rollBack stops what this operation started. It is false if that failed: then
// they stay in their slots, so that they are found again.
func (op *poolOp) rollBack(ctx context.Context, res *PoolResult) bool {
	started := op.started()
	mine := map[Handle]bool{}
	for _, c := range started {
		mine[c.Handle] = true
	}
	if err := op.stop(ctx, started); err != nil {
		return false
	}
	for i, h := range res.Slots {
		if mine[h] {
			res.Slots[i] = ""
			delete(res.Started, h)
		}
	}
	res.PoolCounts = PoolCounts{}
	for _, c := range op.counted {
		if !mine[c.Handle] {
			res.count(c)
		}
	}
	return true
}

// firstHandles are at most ten, for messages.
func firstHandles(hs []Handle) []Handle { return hs[:min(10, len(hs))] }
