// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv/apiproxy"
)

// TestCopies: somebody makes an image of a worker, and a container of that.
// Both carry our labels, and neither is ours.
func TestCopies(t *testing.T) {
	s := newBench(t, Config{})
	ctx := t.Context()
	cluster := managed.Scope{Namespace: s.scope.Namespace, Cluster: s.scope.Cluster}
	if err := s.PutSecret(ctx, cluster, []byte("x"), managed.Labels{Namespace: cluster.Namespace, Cluster: cluster.Cluster}.Map()); err != nil {
		t.Fatal(err)
	}
	h := s.run(s.worker())
	name := "dockerparallel.local/debug-" + strings.ToLower(s.scope.Namespace) + ":1"
	made, err := s.outside.ContainerCommit(ctx, string(h), client.ContainerCommitOptions{Reference: name})
	if err != nil {
		t.Fatal(err)
	}
	copied, err := s.outside.ContainerCreate(ctx, client.ContainerCreateOptions{Config: &container.Config{Image: name, Cmd: []string{"sleep", "1000"}}})
	if err != nil {
		t.Fatal(err)
	}
	remove := func() {
		_, _ = s.outside.ContainerRemove(context.Background(), copied.ID, client.ContainerRemoveOptions{Force: true})
		_, _ = s.outside.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true})
	}
	t.Cleanup(remove)
	if labels := s.inspectOutside(managed.Handle(copied.ID)).Config.Labels; labels[managed.LabelManagedBy] != managed.ManagedBy {
		t.Fatalf("the copy's labels are %v", labels)
	}
	if _, err := s.outside.ContainerStart(ctx, copied.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	inv, err := s.List(ctx, managed.Selector{Namespace: s.scope.Namespace})
	if err != nil || len(inv.Containers) != 1 || inv.Containers[0].Handle != h {
		t.Errorf("listed are %+v, %v, want %s alone", inv.Containers, err, h)
	}
	// Renamed it is still ours.
	if _, err := s.outside.ContainerRename(ctx, string(h), client.ContainerRenameOptions{NewName: "renamed-" + s.scope.Namespace}); err != nil {
		t.Fatal(err)
	}
	inv, err = s.List(ctx, managed.Selector{Namespace: s.scope.Namespace})
	if err != nil || len(inv.Containers) != 1 || inv.Containers[0].Handle != h {
		t.Errorf("after renaming %+v, %v are listed, want %s alone", inv.Containers, err, h)
	}
	if err := s.Kill(ctx, []managed.Handle{h}); err != nil {
		t.Error(err)
	}
	if err := s.DeleteSecret(ctx, cluster); err != nil {
		t.Error(err)
	}
	if left, err := s.Cleanup(ctx, cluster, true); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
	if !s.inspectOutside(managed.Handle(copied.ID)).State.Running {
		t.Error("the copy was ended")
	}
	if _, err := s.outside.ImageInspect(ctx, name); err != nil {
		t.Errorf("the image %s: %v", made.ID, err)
	}
	remove() // before the bench looks for what is left
}

// TestOthersInTheNetwork: another cluster's container is a guest as any
// stranger's is. The network stays, and that is a word, not an error.
func TestOthersInTheNetwork(t *testing.T) {
	s := newBench(t, Config{})
	ctx := t.Context()
	h := s.run(s.worker())
	ours := s.networks()[0]
	labels := maps.Clone(s.worker().Spec.Labels)
	labels[managed.LabelCluster] = "other"
	guest, err := s.outside.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config:           &container.Config{Image: s.image, Cmd: []string{"sleep", "1000"}, Labels: labels},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{ours.ID: {NetworkID: ours.ID}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.outside.ContainerStart(ctx, guest.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(ctx, []managed.Handle{h}); err != nil {
		t.Error(err)
	}
	left, err := s.Cleanup(ctx, managed.Scope{Namespace: s.scope.Namespace, Cluster: s.scope.Cluster}, true)
	if err != nil || len(left) != 1 || !strings.Contains(left[0], ours.Name) {
		t.Errorf("left %q, %v, want a word about %s", left, err, ours.Name)
	}
	if len(s.networks()) != 1 || !s.inspectOutside(managed.Handle(guest.ID)).State.Running {
		t.Errorf("the network is gone, or its guest: %v", s.networks())
	}
	if _, err := s.outside.ContainerRemove(ctx, guest.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
}

// TestStaleEndpoint: the engine keeps the endpoint of a container that is gone,
// which would keep the network for good.
func TestStaleEndpoint(t *testing.T) {
	s := newBench(t, Config{})
	ctx := t.Context()
	cluster := managed.Scope{Namespace: s.scope.Namespace, Cluster: s.scope.Cluster}
	if err := s.Prepare(ctx, cluster, nil); err != nil {
		t.Fatal(err)
	}
	var freed atomic.Bool
	s.proxy.Intercept(func(call string, w http.ResponseWriter, r *http.Request) apiproxy.Verdict {
		switch {
		case call == "POST networks/one/disconnect":
			body, _ := io.ReadAll(r.Body)
			if !strings.Contains(string(body), `"Container":"dp.gone"`) || !strings.Contains(string(body), `"Force":true`) {
				t.Errorf("disconnected is %s", body)
			}
			freed.Store(true)
			return apiproxy.Answered
		case freed.Load():
		case call == "DELETE networks/one":
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"message":"error while removing network: network x id y has active endpoints"}`))
			return apiproxy.Answered
		case call == "GET networks/one":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"Name":"x","Labels":{},"Containers":{"ep-0123456789abcdef":{"Name":"dp.gone"}}}`))
			return apiproxy.Answered
		}
		return apiproxy.Forward
	})
	if left, err := s.Cleanup(ctx, cluster, false); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if !freed.Load() || len(s.networks()) > 0 {
		t.Errorf("freed: %t, left are %v", freed.Load(), s.networks())
	}
}

// TestAbandoned: a container that was created and never started is given up
// after a while, and worth starting anew.
func TestAbandoned(t *testing.T) {
	summary := func(state container.ContainerState, age time.Duration) *container.Summary {
		return &container.Summary{State: state, Labels: map[string]string{labelCreated: time.Now().Add(-age).Format(time.RFC3339Nano)}}
	}
	for _, c := range []struct {
		summary *container.Summary
		status  managed.Status
		passing bool
	}{
		{summary(container.StateCreated, time.Second), managed.StatusInitializing, false},
		{summary(container.StateCreated, time.Minute), managed.StatusStopped, true},
		{summary(container.StateRunning, time.Minute), managed.StatusRunning, false},
	} {
		if o := summarised(c.summary); o.Status != c.status || o.Passing != c.passing {
			t.Errorf("%s since %s: %+v", c.summary.State, c.summary.Labels[labelCreated], o)
		}
	}
}

// TestStuckNetwork: what only a restart of the engine can remove is told, and
// does not make a destroy fail for good.
func TestStuckNetwork(t *testing.T) {
	s := newBench(t, Config{})
	ctx := t.Context()
	cluster := managed.Scope{Namespace: s.scope.Namespace, Cluster: s.scope.Cluster}
	if err := s.Prepare(ctx, cluster, nil); err != nil {
		t.Fatal(err)
	}
	s.proxy.Intercept(func(call string, w http.ResponseWriter, _ *http.Request) apiproxy.Verdict {
		if call != "DELETE networks/one" {
			return apiproxy.Forward
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"message":"error while removing network: network x id y has active endpoints"}`))
		return apiproxy.Answered
	})
	left, err := s.Cleanup(ctx, cluster, false)
	if err != nil || len(left) != 1 || !strings.Contains(left[0], "a restart of it cures") {
		t.Errorf("%v, %v", left, err)
	}
	inv, err := s.List(ctx, managed.Selector{Namespace: s.scope.Namespace, Artifacts: true})
	if err != nil || len(inv.Artifacts) != 1 || inv.Artifacts[0].Stuck == "" {
		t.Errorf("%+v, %v", inv.Artifacts, err)
	}
}
