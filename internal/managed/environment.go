// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The variables that every container finds in its environment, whatever its
// framework. On a server, SERVER_HOST is the address to listen on.
const (
	EnvNamespace      = "DOCKERPARALLEL_NAMESPACE"
	EnvCluster        = "DOCKERPARALLEL_CLUSTER"
	EnvPool           = "DOCKERPARALLEL_POOL"
	EnvQueue          = "DOCKERPARALLEL_QUEUE"
	EnvServerHost     = "DOCKERPARALLEL_SERVER_HOST"
	EnvServerPort     = "DOCKERPARALLEL_SERVER_PORT"
	EnvServerPassword = "DOCKERPARALLEL_SERVER_PASSWORD"
	EnvServerURL      = "DOCKERPARALLEL_SERVER_URL"
	EnvWorkers        = "DOCKERPARALLEL_WORKERS"
	// EnvContainer is the container's own name: Container.Name. The backend
	// sets it, as each container of a Run has another.
	EnvContainer = "DOCKERPARALLEL_CONTAINER"
)

// EnvPrefix is reserved: a user may not set a variable that begins with it.
const EnvPrefix = "DOCKERPARALLEL_"

// environment is all that the core and the framework add to a container.
func environment(fw Framework, role Role, f Facts) Environment {
	env := Environment{
		Plain: map[string]string{
			EnvNamespace:  f.Namespace,
			EnvCluster:    f.Cluster,
			EnvQueue:      f.Cluster,
			EnvServerHost: f.Host,
			EnvServerPort: strconv.Itoa(f.Port),
		},
		Secret: map[string]Secret{},
	}
	if role == RoleWorker {
		env.Plain[EnvPool] = f.Pool
		env.Plain[EnvWorkers] = strconv.Itoa(f.Workers)
	}
	// The URL of a framework without a password is no secret, but the name of
	// a variable must not move between the two kinds with its value.
	env.Secret[EnvServerURL] = Secret(fw.URL(f.Host, f.Port, f.Password))
	env.Secret[EnvServerPassword] = f.Password
	own := fw.Environment(role, f)
	maps.Copy(env.Plain, own.Plain)
	maps.Copy(env.Secret, own.Secret)
	return env
}

// reserved tells which variables a container of the role gets without the
// user's doing, and which of them are secret.
func reserved(fw Framework, role Role) (names, secret map[string]bool) {
	env := environment(fw, role, Facts{})
	names, secret = map[string]bool{}, map[string]bool{}
	for k := range env.Plain {
		names[k] = true
	}
	for k := range env.Secret {
		names[k], secret[k] = true, true
	}
	return names, secret
}

// CheckTemplate finds what can be known wrong in a template before anything
// is planned: variables that clash with the framework's, secrets in
// arguments. Attributes are relative to the role ("container.environment").
func CheckTemplate(fw Framework, role Role, t Template) []Problem {
	names, secret := reserved(fw, role)
	var problems []Problem
	for _, k := range slices.Sorted(maps.Keys(t.Environment)) {
		switch {
		case names[k]:
			problems = append(problems, Problem{Attribute: "container.environment", Detail: "The variable " + k + " is set by the framework \"" +
				fw.Name() + "\" itself; remove it here. Its value can be used in other variables as $(" + k + ")."})
		case strings.HasPrefix(k, EnvPrefix):
			problems = append(problems, Problem{Attribute: "container.environment", Detail: "The variable " + k +
				" begins with " + EnvPrefix + ", which is reserved. Choose another name."})
		case k == "" || strings.ContainsAny(k, "=\x00"):
			problems = append(problems, Problem{Attribute: "container.environment", Detail: "The name of an environment variable may not be empty and may not contain \"=\"."})
		}
	}
	for attribute, args := range map[string][]string{"container.entrypoint": t.Entrypoint, "container.command": t.Command} {
		for _, arg := range args {
			expand(arg, func(name string) (string, bool) {
				if secret[name] {
					problems = append(problems, Problem{Attribute: attribute, Detail: "$(" + name +
						") would put the password into the process list. The program finds it in its environment under that name: read it there."})
				}
				return "", false
			})
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Attribute, b.Attribute) })
	return problems
}

// containerSpec makes the spec of one container out of a template.
func containerSpec(fw Framework, role Role, t Template, f Facts) ContainerSpec {
	env := environment(fw, role, f)
	spec := ContainerSpec{
		Image:             t.Image,
		Environment:       env.Plain,
		SecretEnvironment: make(map[string]string, len(env.Secret)),
		Hardware:          t.Hardware.Times(max(1, f.Workers)),
		Workers:           f.Workers,
		StopSignal:        t.StopSignal,
		StopGrace:         t.StopGrace,
		Options:           t.Options,
	}
	for k, v := range env.Secret {
		spec.SecretEnvironment[k] = v.Reveal()
	}
	plain := func(name string) (string, bool) { v, ok := env.Plain[name]; return v, ok }
	spec.Entrypoint = expandAll(t.Entrypoint, plain)
	spec.Command = expandAll(t.Command, plain)
	for k, v := range t.Environment {
		hush := false
		v = expand(v, func(name string) (string, bool) {
			if s, ok := env.Secret[name]; ok {
				hush = true
				return s.Reveal(), true
			}
			return plain(name)
		})
		if hush {
			spec.SecretEnvironment[k] = v
		} else {
			spec.Environment[k] = v
		}
	}
	return spec
}

func expandAll(args []string, lookup func(string) (string, bool)) []string {
	if args == nil {
		return nil
	}
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = expand(a, lookup)
	}
	return out
}

// expand replaces $(NAME) as Kubernetes does: a name that lookup does not
// know stays as it is, and $$ is a literal $, so $$(NAME) is $(NAME).
func expand(s string, lookup func(string) (string, bool)) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i:]
		switch s[1] {
		case '$':
			b.WriteByte('$')
			s = s[2:]
			continue
		case '(':
			if end := strings.IndexByte(s, ')'); end > 0 {
				if v, ok := lookup(s[2:end]); ok {
					b.WriteString(v)
				} else {
					b.WriteString(s[:end+1])
				}
				s = s[end+1:]
				continue
			}
		}
		b.WriteByte('$')
		s = s[1:]
	}
}
