// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/apiproxy"
)

// withoutDriver takes the GPUs out of requests, so that an engine without any
// starts the containers; it keeps what was asked for.
func withoutDriver(t *testing.T, s *bench) func() [][]string {
	t.Helper()
	var mu sync.Mutex
	var asked [][]string
	s.proxy.Intercept(func(call string, _ http.ResponseWriter, r *http.Request) apiproxy.Verdict {
		if call != "POST containers/create" {
			return apiproxy.Forward
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		host, _ := body["HostConfig"].(map[string]any)
		b, _ := json.Marshal(host["DeviceRequests"])
		var requests []container.DeviceRequest
		if err := json.Unmarshal(b, &requests); err != nil {
			t.Error(err)
		}
		mu.Lock()
		for _, d := range requests {
			asked = append(asked, d.DeviceIDs)
		}
		mu.Unlock()
		delete(host, "DeviceRequests")
		b, _ = json.Marshal(body)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		return apiproxy.Forward
	})
	return func() [][]string {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}
}

// TestGPUs: each of several programs that choose at once gets GPUs that no
// other has, and no more than there are.
func TestGPUs(t *testing.T) {
	ids := []string{"0", "1", "GPU-2", "GPU-3"}
	first := newBench(t, Config{GPUs: ids})
	asked := withoutDriver(t, first)
	ctx := t.Context()
	with := func(n int) managed.RunRequest {
		req := first.worker()
		req.Spec.Hardware.GPUs = n
		return req
	}
	// Two programs: the second has a backend of its own, with the same proxy.
	other, err := New(Config{Config: first.cfg.Config, GPUs: ids})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := first.Preflight(ctx, with(2), nil); err != nil {
		t.Error(err)
	}
	testenv.WantError(t, first.Preflight(ctx, with(5), nil), managed.ClassInvalid, "hardware.gpus", "needs 5 GPUs, and the engine has 4")

	type outcome struct {
		handles []managed.Handle
		err     error
	}
	outcomes := make(chan outcome, 6)
	for i := range 6 {
		b := first.Backend
		if i%2 == 1 {
			b = other
		}
		go func() {
			handles, err := b.Run(ctx, with(1))
			outcomes <- outcome{handles, err}
		}()
	}
	var started []managed.Handle
	for range 6 {
		o := <-outcomes
		switch {
		case o.err == nil:
			started = append(started, o.handles...)
		case managed.ClassOf(o.err) != managed.ClassCapacity || managed.AttributeOf(o.err) != "hardware.gpus":
			t.Error(o.err)
		}
	}
	var have []string
	for _, h := range started {
		have = append(have, first.inspectOutside(h).Config.Labels[labelGPUs])
	}
	slices.Sort(have)
	if !slices.Equal(have, ids) {
		t.Errorf("the containers have %v, want each of %v once", have, ids)
	}
	if len(asked()) < 4 {
		t.Errorf("the engine was asked for %v", asked())
	}
	testenv.WantError(t, first.Preflight(ctx, with(1), nil), managed.ClassCapacity, "hardware.gpus", "only 0 are free")
	if err := first.Preflight(ctx, with(2), started[:2]); err != nil {
		t.Errorf("those of containers that are replaced: %v", err)
	}
	// Whoever ends gives them back.
	if err := first.Kill(ctx, started[1:3]); err != nil {
		t.Fatal(err)
	}
	h := first.run(with(2))
	if got := first.inspectOutside(h).Config.Labels[labelGPUs]; len(got) < 3 {
		t.Errorf("the container has %q", got)
	}
}

func TestDiscoveredGPUs(t *testing.T) {
	info := &system.Info{DiscoveredDevices: []system.DeviceInfo{{ID: "nvidia.com/gpu=0"}, {ID: "nvidia.com/gpu=all"}, {ID: "vendor.com/nic=0"}, {ID: "nvidia.com/gpu=1"}, {ID: "nvidia.com/gpu=GPU-8a"}, {ID: "nvidia.com/gpu=GPU-8b"}}}
	if got := discovered(info); !slices.Equal(got, []string{"nvidia.com/gpu=0", "nvidia.com/gpu=1"}) {
		t.Errorf("by CDI: %v", got)
	}
	if d := gpuRequest(discovered(info)); d.Driver != "cdi" || len(d.DeviceIDs) != 2 {
		t.Errorf("the request is %+v", d)
	}
	info = &system.Info{GenericResources: []swarm.GenericResource{
		{NamedResourceSpec: &swarm.NamedGenericResource{Kind: "NVIDIA-GPU", Value: "GPU-1"}}, {NamedResourceSpec: &swarm.NamedGenericResource{Kind: "FPGA", Value: "x"}},
	}}
	if got := discovered(info); !slices.Equal(got, []string{"GPU-1"}) {
		t.Errorf("as generic resources: %v", got)
	}
	if d := gpuRequest([]string{"GPU-1"}); d.Driver != "" || !slices.Equal(d.Capabilities[0], []string{"gpu"}) {
		t.Errorf("the request is %+v", d)
	}
	s := newBench(t, Config{})
	req := s.worker()
	req.Spec.Hardware.GPUs = 1
	testenv.WantError(t, s.Preflight(t.Context(), req, nil), managed.ClassInvalid, "hardware.gpus", "docker.gpus", "nvidia-smi -L")
}
