// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// networks remembers the networks of clusters, so that not every container
// costs a look-up.
type networks struct {
	mu  sync.Mutex
	ids map[managed.Scope]string
	// stuck are networks that the engine does not let go; see errStuck.
	stuck map[string]bool
	// servers have fixed addresses on Podman.
	servers map[managed.Scope]netip.Addr
	// making keeps one at a time busy with a look-up or a creation.
	making sync.Mutex
}

func (n *networks) get(scope managed.Scope) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ids[clusterOf(scope)]
}

func (n *networks) isStuck(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stuck[id]
}

func (n *networks) setStuck(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stuck == nil {
		n.stuck = map[string]bool{}
	}
	n.stuck[id] = true
}

func (n *networks) put(scope managed.Scope, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids == nil {
		n.ids = map[managed.Scope]string{}
	}
	n.ids[clusterOf(scope)] = id
}

func (n *networks) forget(scope managed.Scope) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.ids, clusterOf(scope))
	delete(n.servers, clusterOf(scope))
}

func (n *networks) address(scope managed.Scope) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.servers[clusterOf(scope)]
}

func (n *networks) putAddress(scope managed.Scope, ip netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.servers == nil {
		n.servers = map[managed.Scope]netip.Addr{}
	}
	n.servers[clusterOf(scope)] = ip
}

func clusterOf(s managed.Scope) managed.Scope {
	return managed.Scope{Namespace: s.Namespace, Cluster: s.Cluster}
}

// Prepare implements [managed.Preparer]: a cluster has a network, unless its
// containers are to join another one.
func (b *Backend) Prepare(ctx context.Context, scope managed.Scope, options any) error {
	o := managed.OptionsAs[Options](options)
	if o.Network != "" {
		return nil
	}
	// Not what is remembered: a clean-up may have removed it.
	b.networks.forget(scope)
	_, err := b.networkOf(ctx, scope, o)
	return err
}

// networkOf is what the engine is told to connect a container to: the id of
// the cluster's own network, which is made if it is not there, or else what
// the options say.
func (b *Backend) networkOf(ctx context.Context, scope managed.Scope, o Options) (string, error) {
	if o.Network != "" {
		return o.Network, nil
	}
	if id := b.networks.get(scope); id != "" {
		return id, nil
	}
	b.networks.making.Lock()
	defer b.networks.making.Unlock()
	if id := b.networks.get(scope); id != "" {
		return id, nil
	}
	id, err := b.clusterNetwork(ctx, scope)
	if err == nil {
		b.networks.put(scope, id)
	}
	return id, err
}

// clusterNetwork finds or makes the cluster's network. Two programs at once
// can make two, so it looks again, and all agree on the oldest.
func (b *Backend) clusterNetwork(ctx context.Context, scope managed.Scope) (string, error) {
	scope = clusterOf(scope)
	found, err := b.networksOf(ctx, scope)
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return found[0].ID, nil
	}
	made, name, err := b.makeNetwork(ctx, scope)
	if err != nil {
		return "", err
	}
	b.log.InfoContext(ctx, "made the cluster's network", "network", name, "id", short(managed.Handle(made)))
	if found, err = b.networksOf(ctx, scope); err != nil {
		return "", err
	}
	if len(found) > 0 && found[0].ID != made {
		if _, err := b.docker.NetworkRemove(ctx, made, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
			return "", b.engine.Classify(err, "removing a network that was made twice")
		}
		return found[0].ID, nil
	}
	return made, nil
}

// makeNetwork avoids a name that is taken. Docker would not mind, but it
// starts no container in one of two networks of the same name, whoever made
// the other.
func (b *Backend) makeNetwork(ctx context.Context, scope managed.Scope) (id, name string, err error) {
	answered, stop := managed.Outlast(ctx, answerTime)
	defer stop()
	name = sharedName(scope)
	same, err := b.networkList(ctx, make(client.Filters).Add("name", name))
	if err != nil {
		return "", "", b.noNetwork(err, scope)
	}
	taken := slices.ContainsFunc(same.Items, func(n network.Summary) bool { return n.Name == name })
	for try := 0; ; try++ {
		if taken {
			name = sharedName(scope, strings.ToLower(rand.Text()[:4]))
		}
		made, err := b.docker.NetworkCreate(answered, name, client.NetworkCreateOptions{Driver: "bridge", Labels: sharedLabels(scope, kindNetwork)})
		switch {
		case err == nil:
			return made.ID, name, nil
		case !errdefs.IsConflict(err) || try == tries:
			return "", "", b.noNetwork(err, scope)
		}
		// Podman allows a name only once, and somebody was quicker.
		taken = true
	}
}

// answerTime is how long a call that makes something goes on although its
// caller has given up: the engine finishes what it has begun, and a clean-up
// that comes before finds nothing.
const answerTime = 15 * time.Second

func (b *Backend) noNetwork(err error, scope managed.Scope) error {
	if text := err.Error(); strings.Contains(text, "address pool") || strings.Contains(text, "non-overlapping") || strings.Contains(text, "subnet") {
		return managed.Errorf(managed.ClassCapacity, "", "making a network for cluster %s: %w; the engine has no address range left: remove networks that nobody uses "+
			"(docker network prune), widen default-address-pools in its daemon.json, or have the containers join an existing network (the option docker.network of server and pool)", scope.Cluster, err)
	}
	return b.engine.Classify(err, "making a network for cluster "+scope.Cluster)
}

// networksOf are the networks of a cluster, the oldest first.
func (b *Backend) networksOf(ctx context.Context, scope managed.Scope) ([]network.Summary, error) {
	sel := managed.Selector{Namespace: scope.Namespace, Cluster: scope.Cluster}
	res, err := b.networkList(ctx, selects(sel))
	if err != nil {
		return nil, b.engine.Classify(err, "looking for the network of cluster "+scope.Cluster)
	}
	res.Items = slices.DeleteFunc(res.Items, func(n network.Summary) bool { return !matches(sel, kindNetwork, n.Labels) })
	slices.SortFunc(res.Items, func(a, b network.Summary) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return res.Items, nil
}

// Cleanup implements [managed.Preparer]. The last container's owner removes
// the network, whether it was a pool or the cluster.
func (b *Backend) Cleanup(ctx context.Context, scope managed.Scope, _ bool) (left []string, err error) {
	cluster := clusterOf(scope)
	sel := managed.Selector{Namespace: scope.Namespace, Cluster: scope.Cluster}
	inUse, err := b.listed(ctx, selects(sel))
	if err != nil {
		return nil, err
	}
	for i := range inUse {
		if matches(sel, "", inUse[i].Labels) && inUse[i].Labels[labelKind] == "" && inUse[i].State != container.StateRemoving {
			return nil, nil
		}
	}
	b.networks.forget(scope)
	found, err := b.networksOf(ctx, cluster)
	if err != nil {
		return nil, err
	}
	for _, n := range found {
		who, err := b.removeNetwork(ctx, n.ID)
		switch {
		case len(who) > 0:
			left = append(left, fmt.Sprintf("The network %s of cluster %q is left, because other containers use it: %s. Disconnect them and remove it with "+
				"\"docker network rm %s\" or \"terraform-provider-dockerparallel sweep\".", n.Name, scope.Cluster, strings.Join(who, ", "), n.Name))
		case errors.Is(err, errStuck):
			// Not worth a destroy that fails for good: nothing runs and nothing costs.
			left = append(left, fmt.Sprintf("The network %s (%s) of cluster %q is left: the engine says that it has active endpoints, although no container is connected to it. "+
				"That is a fault of the engine, which a restart of it cures (systemctl restart docker). Then remove the network with \"docker network rm %s\" or "+
				"\"terraform-provider-dockerparallel sweep\"; a new cluster of the same name uses it again.", n.Name, short(managed.Handle(n.ID)), scope.Cluster, n.Name))
		case err != nil:
			return left, err
		}
	}
	if scope.Pool == "" {
		b.removeHelperImage(ctx)
	}
	return left, nil
}

// endpointTime is how long the engine may take to forget the endpoints of
// containers that it has removed. After staleTime they are taken from it:
// under load an engine keeps some for good, and then nothing but a restart of
// the engine would let the network go (seen on Docker 20.10).
const (
	endpointTime = 10 * time.Second
	staleTime    = 2 * time.Second
)

// errStuck: the engine has miscounted a network's endpoints (seen on Docker
// 20.10 under load) and does not let it go before it is started anew.
var errStuck = errors.New("the engine says that it has active endpoints, although no container is connected to it; restarting the engine cures that")

// removeNetwork returns who else uses it if that is why it cannot be removed.
func (b *Backend) removeNetwork(ctx context.Context, id string) (users []string, err error) {
	begun := time.Now()
	deadline := begun.Add(endpointTime)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		_, err := b.docker.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
		if err == nil || errdefs.IsNotFound(err) {
			return nil, nil
		}
		if !isInUse(err) {
			return nil, b.engine.Classify(err, "removing the network "+short(managed.Handle(id)))
		}
		seen, inspectErr := b.networkInspect(ctx, id)
		if errdefs.IsNotFound(inspectErr) {
			return nil, nil
		}
		if inspectErr != nil {
			return nil, b.engine.Classify(inspectErr, "asking after the network "+short(managed.Handle(id)))
		}
		for containerID, c := range seen.Network.Containers {
			there, err := b.inspect(ctx, managed.Handle(containerID))
			switch {
			case err != nil:
			case there == nil && time.Since(begun) > staleTime:
				_, err := b.docker.NetworkDisconnect(ctx, id, client.NetworkDisconnectOptions{Container: c.Name, Force: true})
				b.log.InfoContext(ctx, "taking the endpoint of a container that is gone from its network", "network", seen.Network.Name, "container", c.Name, "error", err)
			case there != nil && isStranger(there, seen.Network.Labels):
				users = append(users, c.Name)
			}
		}
		if len(users) > 0 {
			slices.Sort(users)
			return users, managed.Errorf(managed.ClassConflict, "", "the network %s is used by %s", seen.Network.Name, strings.Join(users, ", "))
		}
		if time.Now().After(deadline) {
			b.networks.setStuck(id)
			return nil, managed.Errorf(managed.ClassConflict, "", "removing the network %s: %w", seen.Network.Name, errStuck)
		}
		if err := wait(ctx, pause); err != nil {
			return nil, b.engine.Classify(err, "removing the network "+seen.Network.Name)
		}
	}
}

// isStranger tells whether a container is not of the cluster whose network has
// these labels.
func isStranger(c *container.InspectResponse, labels map[string]string) bool {
	for _, label := range []string{managed.LabelManagedBy, managed.LabelNamespace, managed.LabelCluster} {
		if c.Config.Labels[label] != labels[label] {
			return true
		}
	}
	return false
}

func isInUse(err error) bool {
	text := err.Error()
	return strings.Contains(text, "active endpoints") || strings.Contains(text, "in use") || strings.Contains(text, "being used") || strings.Contains(text, "has associated containers")
}

// wait for a while; an error if ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
