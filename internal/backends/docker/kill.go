// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Kill implements [managed.Backend]. All containers get their stop signal
// first, so that they leave side by side however many there are; each is
// removed as soon as it has ended, or its grace is over.
func (b *Backend) Kill(ctx context.Context, handles []managed.Handle) error {
	wanted := make(map[managed.Handle]bool, len(handles))
	for _, h := range handles {
		if looksLikeHandle(h) {
			wanted[h] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	there, err := b.summaries(ctx, wanted)
	if err != nil {
		return err
	}
	k := &killing{b: b, failed: managed.HandleErrors{}}
	var now []managed.Handle
	leaving := map[managed.Handle]time.Time{} // until when
	var signals []func()
	for i := range there {
		h := managed.Handle(there[i].ID)
		signal, grace := stopOf(there[i].Labels)
		if grace <= 0 || there[i].State != container.StateRunning {
			now = append(now, h) // a paused one would not hear the signal
			continue
		}
		leaving[h] = time.Now().Add(grace)
		signals = append(signals, func() { k.signal(ctx, h, signal) })
	}
	k.sideBySide(ctx, signals)
	k.removeAll(ctx, now)
	k.see(ctx, leaving)
	if len(k.failed) > 0 {
		return k.failed
	}
	return nil
}

// stopOf reads how a container wants to be stopped.
func stopOf(labels map[string]string) (signal string, grace time.Duration) {
	signal, text, _ := strings.Cut(labels[labelStop], " ")
	grace, err := time.ParseDuration(text)
	if signal == "" || err != nil {
		return "SIGTERM", 0
	}
	return signal, grace
}

// killing is one Kill at work.
type killing struct {
	b      *Backend
	mu     sync.Mutex
	failed managed.HandleErrors
}

func (k *killing) fail(h managed.Handle, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed[h] = err
}

// sideBySide runs what makes the engine work, as much at once as suits it.
func (k *killing) sideBySide(ctx context.Context, work []func()) {
	var wg sync.WaitGroup
	for _, do := range work {
		release, err := k.b.acquire(ctx)
		if err != nil {
			release = func() {} // each will say why it could not be done
		}
		wg.Go(func() {
			defer release()
			do()
		})
	}
	wg.Wait()
}

// signal asks a container to stop. That it has stopped already is as good;
// any other failure is found by the removal.
func (k *killing) signal(ctx context.Context, h managed.Handle, signal string) {
	_, err := k.b.docker.ContainerKill(ctx, string(h), client.ContainerKillOptions{Signal: signal})
	if err != nil && !isGone(err) && !errdefs.IsConflict(err) {
		k.b.log.DebugContext(ctx, "a container does not take its stop signal", "container", short(h), "signal", signal, "error", err)
	}
}

func (k *killing) removeAll(ctx context.Context, handles []managed.Handle) {
	work := make([]func(), len(handles))
	for i, h := range handles {
		work[i] = func() {
			if err := k.b.remove(ctx, h); err != nil {
				k.fail(h, err)
			}
		}
	}
	k.sideBySide(ctx, work)
}

// see removes containers that were asked to stop as they end, with one list
// at a time for all of them.
func (k *killing) see(ctx context.Context, leaving map[managed.Handle]time.Time) {
	for pause := 10 * time.Millisecond; len(leaving) > 0; pause = min(pause*3/2, time.Second) {
		wanted := make(map[managed.Handle]bool, len(leaving))
		last := time.Time{}
		for h, until := range leaving {
			wanted[h] = true
			if until.After(last) {
				last = until
			}
		}
		still := map[managed.Handle]bool{}
		listed, err := k.b.summaries(ctx, wanted)
		if err != nil && managed.ClassOf(err) == managed.ClassTransient && time.Now().Before(last) && wait(ctx, pause) == nil {
			continue // to begin anew would signal them twice, which means "at once" to many
		}
		if err != nil {
			for h := range leaving {
				k.fail(h, err)
			}
			return
		}
		for i := range listed {
			if listed[i].State == container.StateRunning {
				still[managed.Handle(listed[i].ID)] = true
			}
		}
		var gone []managed.Handle
		for h, until := range leaving {
			if !still[h] || !time.Now().Before(until) {
				gone = append(gone, h)
				delete(leaving, h)
			}
		}
		k.removeAll(ctx, gone)
		if len(leaving) == 0 {
			return
		}
		if err := wait(ctx, min(pause, max(time.Until(last), time.Millisecond))); err != nil {
			for h := range leaving {
				k.fail(h, k.b.engine.Classify(err, "waiting for the container "+short(h)+" to stop"))
			}
			return
		}
	}
}

// removingTime is how long a removal that somebody else began is waited for.
const removingTime = 30 * time.Second

// remove kills and removes a container with the volumes that it alone has. One
// that is not there is a success. One that is being removed, because an
// earlier call was cut off, is waited for: it is still in the way of its network.
func (b *Backend) remove(ctx context.Context, h managed.Handle) error {
	deadline := time.Now().Add(removingTime)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		_, err := b.docker.ContainerRemove(ctx, string(h), client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case err == nil || isGone(err):
			return nil
		case !strings.Contains(err.Error(), "already in progress"):
			return b.engine.Classify(err, "removing the container "+short(h))
		case time.Now().After(deadline):
			return nil // whoever looks next sees whether it is gone
		}
		if err := wait(ctx, pause); err != nil {
			return b.engine.Classify(err, "waiting for the removal of the container "+short(h))
		}
	}
}
