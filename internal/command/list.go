// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func listCommand() command {
	return command{
		name:    "list",
		summary: "show which clusters run, with their pools and workers",
		detail: `
Shows the clusters of all namespaces, one line for each worker pool; with
--containers, one line for each container.

With --json it prints an array of clusters, in the order of namespace and name:

  namespace, cluster, owner, framework, created_at
  server         null, or handle, status, reason, exit_code, created_at,
                 started_at, node, launch, owner, external (a server from
                 elsewhere), public_ip, public_port, private_ip, private_port
  other_servers  servers that do not count any more, as members
  pools          pool, owner, running_workers, initializing_workers,
                 stopped_workers, outdated_workers (of an earlier launch of the
                 server), containers, members
  artifacts      what else there is: kind, id, namespace, cluster, owner,
                 created_at

A member is a container: handle, role, owner, workers (how many share it),
status (initializing, running, stopped), reason, exit_code, created_at,
started_at, node, launch, current (it belongs to the running server). Times are
RFC 3339 in UTC. What is not known is null, or "" for a text.`,
		flags: func(f *flag.FlagSet) func(context.Context, streams, string) error {
			l := &list{}
			l.backend.register(f)
			f.StringVar(&l.namespace, "namespace", "", "show this `namespace` only")
			f.Var(&l.owner, "owner", "show clusters in which something is of this `owner` only; '' is no owner")
			f.BoolVar(&l.containers, "containers", false, "show each container")
			f.BoolVar(&l.json, "json", false, "print JSON")
			return l.run
		},
	}
}

type list struct {
	backend    backendFlags
	namespace  string
	owner      optional
	containers bool
	json       bool
}

func (l *list) run(ctx context.Context, s streams, _ string) error {
	m, err := l.backend.manager("")
	if err != nil {
		return err
	}
	clusters, err := inventory(ctx, m, managed.Selector{Namespace: l.namespace})
	if err != nil {
		return err
	}
	clusters = slices.DeleteFunc(clusters, func(c clusterJSON) bool { return !c.owned(&l.owner) })
	if l.json {
		return writeJSON(s.out, clusters)
	}
	if len(clusters) == 0 {
		// Not on stdout: what counts lines there counts none.
		_, err := fmt.Fprintf(s.err, "No clusters%s on %s.\n", l.where(), l.backend.describe())
		return err
	}
	if l.containers {
		return printContainers(s.out, clusters)
	}
	if err := printClusters(s.out, clusters); err != nil {
		return err
	}
	return printRemarks(s.out, clusters)
}

func (l *list) where() string {
	where := ""
	if l.namespace != "" {
		where += fmt.Sprintf(" in namespace %q", l.namespace)
	}
	if l.owner.given {
		where += fmt.Sprintf(" of owner %q", l.owner.value)
	}
	return where
}

// printClusters prints a line for each pool.
func printClusters(w io.Writer, clusters []clusterJSON) error {
	t := newTable(w, "NAMESPACE", "CLUSTER", "OWNER", "FRAMEWORK", "SERVER", "ADDRESS", "AGE", "POOL", "WORKERS", "CONTAINERS")
	for i := range clusters {
		c := &clusters[i]
		status, address := "none", ""
		if c.Server != nil {
			status, address = c.Server.Status, c.Server.address()
		}
		head := []string{c.Namespace, c.Cluster, c.Owner, c.Framework, status, address, ageOf(c.CreatedAt)}
		if len(c.Pools) == 0 {
			t.row(append(head, "", "", "")...)
		}
		for _, p := range c.Pools {
			t.row(append(slices.Clone(head), p.Pool, p.workers(), strconv.Itoa(p.Containers))...)
		}
	}
	return t.flush()
}

// workers says in words how many do what.
func (p *poolJSON) workers() string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{
		{p.RunningWorkers, "running"}, {p.InitializingWorkers, "initializing"},
		{p.OutdatedWorkers, "outdated"}, {p.StoppedWorkers, "stopped"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// address that a client connects to.
func (s *serverJSON) address() string {
	e := managed.Endpoint{PublicIP: s.PublicIP, PrivateIP: s.PrivateIP}
	if s.PublicPort != nil {
		e.PublicPort = *s.PublicPort
	}
	if s.PrivatePort != nil {
		e.PrivatePort = *s.PrivatePort
	}
	host, port := e.ForClient(nil)
	if host == "" {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// printRemarks says below the table what needs a person's eye.
func printRemarks(w io.Writer, clusters []clusterJSON) error {
	var remarks []string
	remark := func(format string, args ...any) { remarks = append(remarks, fmt.Sprintf(format, args...)) }
	for i := range clusters {
		c := &clusters[i]
		name := fmt.Sprintf("cluster %s in namespace %s", c.Cluster, c.Namespace)
		switch {
		case c.Server == nil && len(c.Pools) == 0 && len(c.OtherServers) == 0:
			remark("Of %s nothing runs; left is its %s. Apply it again, or remove that with sweep.", name, kinds(c.Artifacts))
		case c.Server == nil:
			remark("The server of %s is missing. Apply it again, or remove the rest with sweep.", name)
		case c.Server.Status == string(managed.StatusStopped):
			reason := ""
			if c.Server.Reason != "" {
				reason = " (" + printable(c.Server.Reason) + ")"
			}
			remark("The server of %s has stopped%s. Apply it again.", name, reason)
		}
		for _, p := range c.Pools {
			if p.OutdatedWorkers > 0 && c.launch() != "" {
				remark("Pool %s of %s has %d workers of an earlier launch of the server. Apply it again.", p.Pool, name, p.OutdatedWorkers)
			}
		}
	}
	if len(remarks) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(remarks, "\n"))
	return err
}

func kinds(artifacts []artifactJSON) string {
	var all []string
	for _, a := range artifacts {
		if !slices.Contains(all, a.Kind) {
			all = append(all, a.Kind)
		}
	}
	return strings.Join(all, ", ")
}

// printContainers prints a line for each container.
func printContainers(w io.Writer, clusters []clusterJSON) error {
	t := newTable(w, "NAMESPACE", "CLUSTER", "POOL", "ROLE", "HANDLE", "WORKERS", "STATUS", "EXIT", "STARTED", "NODE", "REASON")
	row := func(c *clusterJSON, pool string, m memberJSON) {
		exit, workers := "", ""
		if m.ExitCode != nil {
			exit = strconv.Itoa(*m.ExitCode)
		}
		if m.Role == string(managed.RoleWorker) {
			workers = strconv.Itoa(m.Workers)
		}
		reason := m.Reason
		if reason == "" && !m.Current && m.Status != string(managed.StatusStopped) {
			reason = "of an earlier launch"
		}
		t.row(c.Namespace, c.Cluster, pool, m.Role, m.Handle, workers, m.Status, exit, started(m.StartedAt), m.Node, reason)
	}
	for i := range clusters {
		c := &clusters[i]
		if c.Server != nil && !c.Server.External {
			row(c, "", c.Server.memberJSON)
		}
		for _, m := range c.OtherServers {
			row(c, "", m)
		}
		for _, p := range c.Pools {
			for _, m := range p.Members {
				row(c, p.Pool, m)
			}
		}
	}
	return t.flush()
}

func started(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Format(time.RFC3339)
}
