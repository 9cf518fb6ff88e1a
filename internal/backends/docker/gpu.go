// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// The engine does not keep count of its GPUs, so containers say in a label
// which they have. Two programs may choose at once: each puts its claim into
// the world first (a container that is created, not started), and then looks.
// Of two claims to the same GPU at least one sees the other, and whoever sees
// one steps back and tries again after a random while.

// cdiKind is how engines name NVIDIA's devices by the Container Device
// Interface.
const cdiKind = "nvidia.com/gpu="

// gpuTime is how long a claim is tried for.
const gpuTime = 30 * time.Second

// allGPUs are the ids of the engine's GPUs.
func (b *Backend) allGPUs(ctx context.Context) ([]string, error) {
	if len(b.cfg.GPUs) > 0 {
		return b.cfg.GPUs, nil
	}
	info, err := b.info(ctx)
	if err != nil {
		return nil, err
	}
	if ids := discovered(info); len(ids) > 0 {
		return ids, nil
	}
	return nil, managed.Errorf(managed.ClassInvalid, "hardware.gpus", "the engine does not tell which GPUs it has: list their ids in the provider's docker.gpus, such as [\"0\", \"1\"] (nvidia-smi -L shows them)")
}

// discovered are the GPUs that the engine itself names.
func discovered(info *system.Info) []string {
	var ids []string
	for _, d := range info.DiscoveredDevices {
		if id, ok := strings.CutPrefix(d.ID, cdiKind); ok && id != "all" {
			ids = append(ids, d.ID)
		}
	}
	// The same device often has two names, by its number and by its UUID.
	isUUID := func(id string) bool {
		name := gpuName(id)
		return strings.HasPrefix(name, "GPU-") || strings.HasPrefix(name, "MIG-")
	}
	if slices.ContainsFunc(ids, func(id string) bool { return !isUUID(id) }) {
		ids = slices.DeleteFunc(ids, isUUID)
	}
	if len(ids) > 0 {
		return ids
	}
	for _, r := range info.GenericResources {
		if n := r.NamedResourceSpec; n != nil && strings.Contains(strings.ToLower(n.Kind), "gpu") {
			ids = append(ids, n.Value)
		}
	}
	return ids
}

// gpuName is an id without the kind of device, which others may leave out.
func gpuName(id string) string { return strings.TrimPrefix(id, cdiKind) }

// gpuRequest asks for devices by their ids.
func gpuRequest(ids []string) container.DeviceRequest {
	if strings.HasPrefix(ids[0], cdiKind) {
		return container.DeviceRequest{Driver: "cdi", DeviceIDs: ids}
	}
	return container.DeviceRequest{DeviceIDs: ids, Capabilities: [][]string{{"gpu"}}}
}

// claims are which of our containers have which GPUs. One that has stopped has
// none any more.
func (b *Backend) claims(ctx context.Context) (map[string][]managed.Handle, error) {
	filter := selects(managed.Selector{})
	filter.Add("label", labelGPUs)
	all, err := b.listed(ctx, filter)
	if err != nil {
		return nil, err
	}
	claims := map[string][]managed.Handle{}
	for i := range all {
		switch all[i].State {
		case container.StateExited, container.StateDead, container.StateRemoving:
			continue
		}
		for id := range strings.SplitSeq(all[i].Labels[labelGPUs], ",") {
			claims[gpuName(id)] = append(claims[gpuName(id)], managed.Handle(all[i].ID))
		}
	}
	return claims, nil
}

// freeGPUs chooses n; an error of ClassCapacity if there are not so many.
// Those of the containers in without count as free.
func (b *Backend) freeGPUs(ctx context.Context, n int, without []managed.Handle) ([]string, error) {
	all, err := b.allGPUs(ctx)
	if err != nil {
		return nil, err
	}
	claims, err := b.claims(ctx)
	if err != nil {
		return nil, err
	}
	var free []string
	for _, id := range all {
		others := slices.DeleteFunc(claims[gpuName(id)], func(h managed.Handle) bool { return slices.Contains(without, h) })
		if len(others) == 0 {
			free = append(free, id)
		}
	}
	switch {
	case n > len(all):
		return nil, managed.Errorf(managed.ClassInvalid, "hardware.gpus", "a container needs %d GPUs, and the engine has %d", n, len(all))
	case n > len(free):
		return nil, managed.Errorf(managed.ClassCapacity, "hardware.gpus", "a container needs %d GPUs, and of the engine's %d only %d are free", n, len(all), len(free))
	}
	return free[:n], nil
}

// createWithGPUs creates a container with GPUs that no other one of ours has.
func (l *launch) createWithGPUs(ctx context.Context, networkID string) (managed.Handle, error) {
	b := l.b
	b.gpus.Lock()
	defer b.gpus.Unlock()
	deadline := time.Now().Add(gpuTime)
	for {
		ids, err := b.freeGPUs(ctx, l.req.Spec.Hardware.GPUs, nil)
		if err != nil {
			return "", err
		}
		h, err := l.create(ctx, networkID, ids)
		if err != nil {
			return h, err
		}
		// An earlier try of this Run may have created it, with other ids.
		c, err := b.inspect(ctx, h)
		if err != nil || c == nil {
			return h, err
		}
		ids = strings.Split(c.Config.Labels[labelGPUs], ",")
		claims, err := b.claims(ctx)
		if err != nil {
			return h, err
		}
		alone := !slices.ContainsFunc(ids, func(id string) bool {
			return slices.ContainsFunc(claims[gpuName(id)], func(other managed.Handle) bool { return other != h })
		})
		if alone || c.State.Running {
			return h, nil
		}
		b.withdraw(ctx, h, l.name)
		if time.Now().After(deadline) {
			return "", managed.Errorf(managed.ClassCapacity, "hardware.gpus", "the engine's GPUs are contended: others claim %s at the same time", strings.Join(ids, ", "))
		}
		if err := wait(ctx, time.Duration(20+rand.IntN(300))*time.Millisecond); err != nil {
			return "", b.engine.Classify(err, "choosing GPUs")
		}
	}
}
