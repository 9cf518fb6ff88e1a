// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// What follows is the JSON that people's programs read: fields are added to
// it, never renamed. What is not known is null, or "" for a text.

type clusterJSON struct {
	Namespace string     `json:"namespace"`
	Cluster   string     `json:"cluster"`
	Owner     string     `json:"owner"`
	Framework string     `json:"framework"`
	CreatedAt *time.Time `json:"created_at"`
	// Server is null if only workers or artifacts are there.
	Server *serverJSON `json:"server"`
	// OtherServers are containers of servers that do not count any more.
	OtherServers []memberJSON   `json:"other_servers"`
	Pools        []poolJSON     `json:"pools"`
	Artifacts    []artifactJSON `json:"artifacts"`
}

type serverJSON struct {
	memberJSON
	External    bool   `json:"external"`
	PublicIP    string `json:"public_ip"`
	PublicPort  *int   `json:"public_port"`
	PrivateIP   string `json:"private_ip"`
	PrivatePort *int   `json:"private_port"`
}

type poolJSON struct {
	Pool                string       `json:"pool"`
	Owner               string       `json:"owner"`
	RunningWorkers      int          `json:"running_workers"`
	InitializingWorkers int          `json:"initializing_workers"`
	StoppedWorkers      int          `json:"stopped_workers"`
	OutdatedWorkers     int          `json:"outdated_workers"`
	Containers          int          `json:"containers"`
	Members             []memberJSON `json:"members"`
}

// memberJSON is a container of a pool, or a server's.
type memberJSON struct {
	containerJSON
	// Current is true if the launch is that of the running server.
	Current bool `json:"current"`
}

type containerJSON struct {
	Handle    string     `json:"handle"`
	Role      string     `json:"role"`
	Owner     string     `json:"owner"`
	Workers   int        `json:"workers"`
	Status    string     `json:"status"`
	Reason    string     `json:"reason"`
	ExitCode  *int       `json:"exit_code"`
	CreatedAt *time.Time `json:"created_at"`
	StartedAt *time.Time `json:"started_at"`
	Node      string     `json:"node"`
	Launch    string     `json:"launch"`
}

type artifactJSON struct {
	Kind      string     `json:"kind"`
	ID        string     `json:"id"`
	Namespace string     `json:"namespace"`
	Cluster   string     `json:"cluster"`
	Owner     string     `json:"owner"`
	CreatedAt *time.Time `json:"created_at"`
}

// place is a cluster in its namespace.
type place struct{ namespace, cluster string }

// inventory lists everything that a selector matches, in a stable order.
func inventory(ctx context.Context, m *managed.Manager, sel managed.Selector) ([]clusterJSON, error) {
	clusters, err := m.Clusters(ctx, sel)
	if err != nil {
		return nil, err
	}
	all, err := m.Leftovers(ctx, sel)
	if err != nil {
		return nil, err
	}
	found := map[place]*clusterJSON{}
	for i := range clusters {
		c := clusterOf(&clusters[i])
		found[place{c.Namespace, c.Cluster}] = c
	}
	for _, a := range all.Artifacts {
		v := artifactOf(a)
		at := place{v.Namespace, v.Cluster}
		if found[at] == nil {
			// Its server may be one from elsewhere, of which a list knows nothing.
			one, err := m.Clusters(ctx, managed.Selector{Namespace: v.Namespace, Cluster: v.Cluster})
			if err != nil {
				return nil, err
			}
			if len(one) == 0 {
				one = []managed.Cluster{{Namespace: v.Namespace, Name: v.Cluster, Owner: v.Owner, CreatedAt: a.CreatedAt}}
			}
			found[at] = clusterOf(&one[0])
		}
		found[at].Artifacts = append(found[at].Artifacts, v)
	}
	for _, c := range all.Members {
		if cl := found[place{c.Namespace, c.Cluster}]; cl != nil && c.Role == managed.RoleServer &&
			(cl.Server == nil || cl.Server.Handle != string(c.Handle)) {
			cl.OtherServers = append(cl.OtherServers, memberOf(c, cl.launch()))
		}
	}
	out := make([]clusterJSON, 0, len(found))
	for _, c := range found {
		slices.SortFunc(c.OtherServers, oldestFirst)
		sortArtifacts(c.Artifacts)
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b clusterJSON) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Cluster, b.Cluster))
	})
	return out, nil
}

func clusterOf(c *managed.Cluster) *clusterJSON {
	v := &clusterJSON{
		Namespace: c.Namespace, Cluster: c.Name, Owner: c.Owner, Framework: c.Framework, CreatedAt: known(c.CreatedAt),
		OtherServers: []memberJSON{}, Pools: []poolJSON{}, Artifacts: []artifactJSON{},
	}
	if s := &c.Server; s.Found {
		v.Server = &serverJSON{
			memberJSON: memberOf(managed.Member{
				Handle: s.Handle, Labels: managed.Labels{Role: managed.RoleServer, Owner: s.Owner, Launch: s.Launch}, Observation: s.Observation,
			}, s.Launch),
			External: s.External,
			PublicIP: s.Endpoint.PublicIP, PublicPort: port(s.Endpoint.PublicPort),
			PrivateIP: s.Endpoint.PrivateIP, PrivatePort: port(s.Endpoint.PrivatePort),
		}
		v.Server.Current = s.Status == managed.StatusRunning
	}
	for _, p := range c.Pools {
		pool := poolJSON{
			Pool: p.Name, Owner: p.Owner, RunningWorkers: p.Running, InitializingWorkers: p.Initializing,
			Containers: len(p.Members), Members: []memberJSON{},
		}
		for _, w := range p.Members {
			member := memberOf(w, v.launch())
			switch {
			case w.Status == managed.StatusStopped:
				pool.StoppedWorkers += w.Workers
			case !member.Current:
				pool.OutdatedWorkers += w.Workers
			}
			pool.Members = append(pool.Members, member)
		}
		slices.SortFunc(pool.Members, oldestFirst)
		v.Pools = append(v.Pools, pool)
	}
	return v
}

// launch of the running server, "" if none runs.
func (c *clusterJSON) launch() string {
	if c.Server == nil || c.Server.Status != string(managed.StatusRunning) {
		return ""
	}
	return c.Server.Launch
}

func memberOf(c managed.Member, launch string) memberJSON {
	return memberJSON{containerJSON: containerOf(c), Current: launch != "" && c.Launch == launch}
}

func containerOf(c managed.Member) containerJSON {
	return containerJSON{
		Handle: string(c.Handle), Role: string(c.Role), Owner: c.Owner, Workers: c.Workers, Status: string(c.Status),
		Reason: c.Reason, ExitCode: c.ExitCode, CreatedAt: known(c.CreatedAt), StartedAt: known(c.StartedAt), Node: c.Node,
		Launch: c.Launch,
	}
}

func artifactOf(a managed.Artifact) artifactJSON {
	labels, _ := managed.ParseLabels(a.Labels)
	return artifactJSON{
		Kind: a.Kind, ID: a.ID, Namespace: labels.Namespace, Cluster: labels.Cluster, Owner: labels.Owner, CreatedAt: known(a.CreatedAt),
	}
}

func oldestFirst(a, b memberJSON) int { return byAge(a.containerJSON, b.containerJSON) }

// byAge is oldest first, ties by handle.
func byAge(a, b containerJSON) int {
	if a.CreatedAt != nil && b.CreatedAt != nil {
		if c := a.CreatedAt.Compare(*b.CreatedAt); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.Handle, b.Handle)
}

func sortArtifacts(a []artifactJSON) {
	slices.SortFunc(a, func(a, b artifactJSON) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
}

// owned tells whether anything in the cluster is of an owner.
func (c *clusterJSON) owned(owner *optional) bool {
	if owner.matches(c.Owner) {
		return true
	}
	return slices.ContainsFunc(c.Pools, func(p poolJSON) bool {
		return slices.ContainsFunc(p.Members, func(m memberJSON) bool { return owner.matches(m.Owner) })
	}) || slices.ContainsFunc(c.OtherServers, func(m memberJSON) bool { return owner.matches(m.Owner) }) ||
		slices.ContainsFunc(c.Artifacts, func(a artifactJSON) bool { return owner.matches(a.Owner) })
}

// known is nil for a time that is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func port(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}
