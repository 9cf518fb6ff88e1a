// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/frameworks"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// urlVariable holds the server's URL with the password in it.
const urlVariable = "DOCKERPARALLEL_URL"

func credentialsCommand() command {
	return command{
		name:     "credentials",
		argument: "NAME",
		summary:  "print what a client needs to reach a cluster, as lines for a shell",
		detail: `
Prints the password and the address of the cluster NAME as lines for a shell:

    eval "$(` + Program + ` credentials sim)"

sets DOCKERPARALLEL_PASSWORD, DOCKERPARALLEL_QUEUE (the name of the cluster's
job queue), DOCKERPARALLEL_SERVER_HOST, DOCKERPARALLEL_SERVER_PORT and
DOCKERPARALLEL_URL (which holds the password where the framework's clients take
it from there). A cluster's id (sim@...) is as good as its name.

With --json it prints one object: namespace, cluster, launch, framework, host,
port, queue, password, url.`,
		flags: func(f *flag.FlagSet) func(context.Context, streams, string) error {
			c := &credentials{}
			c.backend.register(f)
			f.StringVar(&c.namespace, "namespace", "default", "the `namespace` of the cluster")
			f.StringVar(&c.shell, "shell", "sh", "the `kind` of shell, one of "+strings.Join(shellNames(), ", "))
			f.BoolVar(&c.json, "json", false, "print JSON")
			f.BoolVar(&c.url, "show-url", false, "print nothing but the URL, with the password in it")
			return c.run
		},
	}
}

type credentials struct {
	backend   backendFlags
	namespace string
	shell     string
	json      bool
	url       bool
}

type credentialsJSON struct {
	Namespace string `json:"namespace"`
	Cluster   string `json:"cluster"`
	Launch    string `json:"launch"`
	Framework string `json:"framework"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	Queue     string `json:"queue"`
	Password  string `json:"password"`
	URL       string `json:"url"`
}

func (c *credentials) run(ctx context.Context, s streams, name string) error {
	sh, ok := findShell(c.shell)
	switch {
	case !ok:
		return usagef("there is no shell %q: choose one of %s", c.shell, strings.Join(shellNames(), ", "))
	case c.json && c.url:
		return usagef("--json and --show-url do not go together")
	case c.namespace == "":
		return usagef("the namespace may not be empty")
	}
	name, _, _ = strings.Cut(name, "@") // an id is NAME@LAUNCH
	if name == "" {
		return usagef("the name of a cluster may not be empty")
	}
	m, err := c.backend.manager("")
	if err != nil {
		return err
	}
	scope := managed.Scope{Namespace: c.namespace, Cluster: name}
	found, err := m.Credentials(ctx, scope)
	if err != nil {
		return err
	}
	if found == nil {
		return c.missing(ctx, m, scope)
	}
	framework, err := frameworks.New(found.Framework, nil)
	if err != nil {
		return fmt.Errorf("cluster %q was made by another release of the provider: %w", name, err)
	}
	host, port := found.Endpoint.ForClient(nil)
	out := credentialsJSON{
		Namespace: c.namespace, Cluster: name, Launch: found.Launch, Framework: found.Framework,
		Host: host, Port: port, Queue: name,
		Password: found.Password.Reveal(), URL: framework.URL(host, port, found.Password),
	}
	switch {
	case c.json:
		return writeJSON(s.out, out)
	case c.url:
		_, err = fmt.Fprintln(s.out, out.URL)
		return err
	}
	_, err = io.WriteString(s.out, c.lines(sh, out))
	return err
}

// lines for a shell. The comment comes last: a shell that reads all lines as
// one then still reads all of them.
func (c *credentials) lines(sh shell, v credentialsJSON) string {
	command := Program + " credentials " + v.Cluster + c.backend.arguments()
	if c.namespace != "default" {
		command += " --namespace " + c.namespace
	}
	if sh.name != "sh" {
		command += " --shell " + sh.name
	}
	lines := []string{
		sh.set(managed.PasswordVariable, v.Password),
		sh.set(managed.EnvQueue, v.Queue),
		sh.set(managed.EnvServerHost, v.Host),
		sh.set(managed.EnvServerPort, strconv.Itoa(v.Port)),
		sh.set(urlVariable, v.URL),
		"# Run: " + sh.use(command),
	}
	return strings.Join(lines, "\n") + "\n"
}

// missing says why there are no credentials, and what there is instead.
func (c *credentials) missing(ctx context.Context, m *managed.Manager, scope managed.Scope) error {
	clusters, err := m.Clusters(ctx, managed.Selector{Namespace: scope.Namespace})
	if err != nil {
		return err
	}
	var names []string
	for _, other := range clusters {
		if other.Name != scope.Cluster {
			names = append(names, other.Name)
			continue
		}
		switch {
		case !other.Server.Found:
			return fmt.Errorf("cluster %q in namespace %q has no server, only workers: apply it again, or remove it with sweep", scope.Cluster, scope.Namespace)
		case other.Server.Status == managed.StatusRunning:
			return fmt.Errorf("the secret of cluster %q in namespace %q is gone: replace the cluster", scope.Cluster, scope.Namespace)
		}
		reason := string(other.Server.Status)
		if other.Server.Reason != "" {
			reason += ", " + other.Server.Reason
		}
		return fmt.Errorf("the server of cluster %q in namespace %q does not run (%s): apply the cluster again", scope.Cluster, scope.Namespace, reason)
	}
	there := "there is none"
	if len(names) > 0 {
		there = "there is " + strings.Join(names, ", ")
	}
	return fmt.Errorf("there is no cluster %q in namespace %q on %s: %s (\"%s list\" shows all namespaces)", scope.Cluster, scope.Namespace, c.backend.describe(), there, Program)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false) // a password with & stays readable
	return e.Encode(v)
}
