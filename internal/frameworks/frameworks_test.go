// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// A password with everything that some quoting could get wrong.
const nastyPassword = `a"b\c'd e%f$g&h+i/j:k@l#m` + "`n${o}!é"

var (
	serverFacts = managed.Facts{
		Namespace: "default", Cluster: "sim", Port: 6380, Password: nastyPassword, Ports: map[string]int{"dashboard": 6381, "client": 6382, "ui": 6381},
		Hardware: managed.Hardware{CPU: 256, Memory: 2048},
	}
	workerFacts = managed.Facts{
		Namespace: "default", Cluster: "sim", Pool: "big",
		Host: "fd00::7", Port: 6380, Password: nastyPassword, Workers: 2,
		Ports: map[string]int{"dashboard": 6381, "client": 6382, "ui": 6381}, Hardware: managed.Hardware{CPU: 2048, Memory: 4096},
	}
	clientFacts = managed.ClientFacts{Cluster: "sim", Host: "192.0.2.7", Port: 16380}
)

func TestRegistry(t *testing.T) {
	want := []string{"custom", "redis", "doredis", "redisparam", "rq", "celery", "dask", "ray", "spark"}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	for _, name := range Names() {
		f, err := New(name, nil)
		if err != nil {
			t.Errorf("New(%q): %v", name, err)
		} else if f.Name() != name {
			t.Errorf("New(%q) is named %q", name, f.Name())
		}
	}
	for _, name := range []string{"", "Redis", "slurm"} {
		_, err := New(name, nil)
		if managed.ClassOf(err) != managed.ClassInvalid || managed.AttributeOf(err) != "framework" {
			t.Errorf("New(%q): %v, want an invalid framework", name, err)
		}
	}
}

// variant is a framework as tests look at it: without options, and with those
// of optionExamples under the name "<framework>-options".
type variant struct {
	name string
	managed.Framework
}

// optionExamples has every option of every framework that has any.
func optionExamples() map[string]Values {
	rRedis := Values{
		"r_packages": []string{"data.table", "Jiefei-Wang/SharedObject@devel"}, "system_packages": []string{"libxml2-dev", "g++"},
		"ssh_public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBcnSe7Gs9h1fSlukPS2e8AebA+0N2EIppW5hS+fFmgq you@host\n", "server_timeout": int64(300),
	}
	return map[string]Values{
		"doredis": rRedis, "redisparam": rRedis,
		"rq":     {"queues": []string{"urgent", "sim"}, "burst": true, "scheduler": true},
		"celery": {"app": "proj.celery:app", "queues": []string{"sim", "gpu"}, "pool": "solo", "log_level": "INFO"},
		"dask":   {"idle_timeout": "1h30m", "nthreads": int64(4), "death_timeout": "2m", "local_directory": "/scratch/dask"},
		"ray":    {"num_cpus": int64(2), "object_store_memory": int64(1024), "drain_timeout": int64(60)},
		"spark":  {"properties": []string{"spark.deploy.defaultCores=4", `spark.ui.title=a\b $x`}, "daemon_memory": int64(768), "work_directory": "/scratch/spark"},
	}
}

func variants() []variant {
	var vs []variant
	for _, k := range all() {
		vs = append(vs, variant{k.name, k.new(nil)})
		if v := optionExamples()[k.name]; v != nil {
			vs = append(vs, variant{k.name + "-options", k.new(v)})
		}
	}
	return vs
}

// TestOptions: each is described, has an example of its type that its own
// check takes, and restarts containers.
func TestOptions(t *testing.T) {
	for _, k := range all() {
		examples := optionExamples()[k.name]
		for _, o := range k.options {
			v, ok := examples[o.Name]
			if !ok || o.Description == "" || len(o.Roles) == 0 {
				t.Errorf("%s.%s has no example, description or role", k.name, o.Name)
				continue
			}
			elements := []any{v}
			typ := String
			switch v := v.(type) {
			case int64:
				typ = Int
			case bool:
				typ = Bool
			case []string:
				typ, elements = Strings, nil
				for _, e := range v {
					elements = append(elements, e)
				}
			}
			if typ != o.Type {
				t.Errorf("%s.%s is a %s, its example a %s", k.name, o.Name, o.Type, typ)
			}
			for _, e := range elements {
				if o.Check != nil && o.Check(e) != "" {
					t.Errorf("%s.%s refuses its example: %s", k.name, o.Name, o.Check(e))
				}
			}
		}
		if len(k.options) == 0 {
			continue
		}
		c, ok := k.new(examples).(managed.Configured)
		if !ok || len(c.Options()) != len(examples) {
			t.Errorf("%s does not hand on its options", k.name)
		}
		if len(examples) != len(k.options) {
			t.Errorf("%s has %d options and %d examples", k.name, len(k.options), len(examples))
		}
	}
}

// TestGolden shows everything that a framework gives away, as a person would
// read it. Run with -update after a change and read the difference.
func TestGolden(t *testing.T) {
	for _, f := range variants() {
		t.Run(f.name, func(t *testing.T) {
			got := describe(f.Framework)
			path := filepath.Join("testdata", f.name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what comes out now (-update writes it):\n%s", path, got)
			}
		})
	}
}

func describe(f managed.Framework) string {
	var b strings.Builder
	fmt.Fprintf(&b, "has password: %t\nurl: %s\n", f.HasPassword(), f.URL("fd00::7", 6380, nastyPassword))
	for _, side := range []struct {
		role  managed.Role
		facts managed.Facts
	}{{managed.RoleServer, serverFacts}, {managed.RoleWorker, workerFacts}} {
		d := f.Defaults(side.role)
		fmt.Fprintf(&b, "\n=== %s\nimage: %s\nport: %d\nhardware: %+v\nmax workers: %d\nstop: %s, %s\nentrypoint: %q\n",
			side.role, d.Image, d.Port, d.Hardware, d.MaxWorkers, d.StopSignal, d.StopGrace, d.Entrypoint)
		for _, p := range d.Ports {
			fmt.Fprintf(&b, "port %s: %d\n", p.Name, p.Number)
		}
		for i, arg := range d.Command {
			fmt.Fprintf(&b, "command %d: %s\n", i, strings.TrimSuffix(arg, "\n"))
		}
		env := f.Environment(side.role, side.facts)
		for _, name := range slices.Sorted(maps.Keys(env.Plain)) {
			fmt.Fprintf(&b, "env %s=%s\n", name, env.Plain[name])
		}
		for _, name := range slices.Sorted(maps.Keys(env.Secret)) {
			fmt.Fprintf(&b, "secret env %s=%s\n", name, env.Secret[name].Reveal())
		}
	}
	c := f.Client(clientFacts)
	fmt.Fprintf(&b, "\n=== client url: %s\n\n=== client r\n%s\n=== client python\n%s\n=== client shell\n%s", c.URL, c.R, c.Python, c.Shell)
	return b.String()
}

// TestEnvironmentNamesAreConstant: the spec hash knows the names of secrets,
// not their values, so a name must not come and go with a value.
func TestEnvironmentNamesAreConstant(t *testing.T) {
	cases := []managed.Facts{
		{},
		serverFacts,
		workerFacts,
		{Namespace: "n", Cluster: "c", Pool: "p", Host: "h", Port: 1, Workers: 64},
		{Password: "x"},
	}
	for _, f := range variants() {
		for _, role := range []managed.Role{managed.RoleServer, managed.RoleWorker} {
			first := f.Environment(role, cases[0])
			for _, facts := range cases[1:] {
				env := f.Environment(role, facts)
				if got, want := slices.Sorted(maps.Keys(env.Plain)), slices.Sorted(maps.Keys(first.Plain)); !slices.Equal(got, want) {
					t.Errorf("%s %s: plain names %q and %q", f.name, role, got, want)
				}
				if got, want := slices.Sorted(maps.Keys(env.Secret)), slices.Sorted(maps.Keys(first.Secret)); !slices.Equal(got, want) {
					t.Errorf("%s %s: secret names %q and %q", f.name, role, got, want)
				}
			}
			for name := range first.Plain {
				if _, both := first.Secret[name]; both {
					t.Errorf("%s %s: %s is both plain and secret", f.name, role, name)
				}
			}
		}
	}
}

// TestNothingButSecretsHoldsThePassword, nor is there a reference of the
// core's ("$(NAME)") in a default command, where it would be expanded.
func TestNothingButSecretsHoldsThePassword(t *testing.T) {
	for _, f := range variants() {
		for role, facts := range map[managed.Role]managed.Facts{managed.RoleServer: serverFacts, managed.RoleWorker: workerFacts} {
			for name, value := range f.Environment(role, facts).Plain {
				for _, form := range passwordForms(nastyPassword) {
					if strings.Contains(value, form) {
						t.Errorf("%s %s: %s holds the password", f.name, role, name)
					}
				}
			}
			d := f.Defaults(role)
			if text := strings.Join(append(d.Entrypoint, d.Command...), " "); strings.Contains(text, "$(") {
				t.Errorf("%s %s: the default command has a $( in it", f.name, role)
			}
		}
		c := f.Client(clientFacts)
		for _, code := range []string{c.R, c.Python, c.Shell} {
			if code != "" && f.HasPassword() && !strings.Contains(code, managed.PasswordVariable) {
				t.Errorf("%s: client code does not read %s:\n%s", f.name, managed.PasswordVariable, code)
			}
		}
	}
}

// TestDefaultsAreTheCallersOwn: a caller that changes them changes nothing for
// the next one.
func TestDefaultsAreTheCallersOwn(t *testing.T) {
	for _, f := range variants() {
		d := f.Defaults(managed.RoleServer)
		for i := range d.Command {
			d.Command[i] = "changed"
		}
		if slices.Contains(f.Defaults(managed.RoleServer).Command, "changed") {
			t.Errorf("%s: the default command is shared", f.Name())
		}
	}
}

// passwordForms are the ways in which a password could be written somewhere.
func passwordForms(password string) []string {
	return []string{password, redisQuote(password), percentEncode(password), javaProperty(password)}
}

// TestClientTellsOfTheTunnel: code for a client that has no other way to the
// server begins with the one it has.
func TestClientTellsOfTheTunnel(t *testing.T) {
	facts := clientFacts
	facts.Tunnel = "ssh -N -L 6379:127.0.0.1:6379 me@far"
	for _, f := range variants() {
		c := f.Client(facts)
		for _, code := range []string{c.R, c.Python, c.Shell} {
			if first, _, _ := strings.Cut(code, "\n"); code != "" && (!strings.HasPrefix(first, "#") || !strings.HasSuffix(first, facts.Tunnel)) {
				t.Errorf("%s: the code begins with %q", f.name, first)
			}
		}
	}
}
