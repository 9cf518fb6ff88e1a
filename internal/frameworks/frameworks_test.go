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
	serverFacts = managed.Facts{Namespace: "default", Cluster: "sim", Port: 6380, Password: nastyPassword}
	workerFacts = managed.Facts{
		Namespace: "default", Cluster: "sim", Pool: "big",
		Host: "fd00::7", Port: 6380, Password: nastyPassword, Workers: 2,
	}
	clientFacts = managed.ClientFacts{Cluster: "sim", Host: "192.0.2.7", Port: 16380}
)

func TestRegistry(t *testing.T) {
	want := []string{"custom", "redis"}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	for _, name := range Names() {
		f, err := New(name)
		if err != nil {
			t.Errorf("New(%q): %v", name, err)
		} else if f.Name() != name {
			t.Errorf("New(%q) is named %q", name, f.Name())
		}
	}
	for _, name := range []string{"", "Redis", "slurm"} {
		_, err := New(name)
		if managed.ClassOf(err) != managed.ClassInvalid || managed.AttributeOf(err) != "framework" {
			t.Errorf("New(%q): %v, want an invalid framework", name, err)
		}
	}
}

// TestGolden shows everything that a framework gives away, as a person would
// read it. Run with -update after a change and read the difference.
func TestGolden(t *testing.T) {
	for _, f := range all() {
		t.Run(f.Name(), func(t *testing.T) {
			got := describe(f)
			path := filepath.Join("testdata", f.Name()+".golden")
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
	variants := []managed.Facts{
		{},
		serverFacts,
		workerFacts,
		{Namespace: "n", Cluster: "c", Pool: "p", Host: "h", Port: 1, Workers: 64},
		{Password: "x"},
	}
	for _, f := range all() {
		for _, role := range []managed.Role{managed.RoleServer, managed.RoleWorker} {
			first := f.Environment(role, variants[0])
			for _, facts := range variants[1:] {
				env := f.Environment(role, facts)
				if got, want := slices.Sorted(maps.Keys(env.Plain)), slices.Sorted(maps.Keys(first.Plain)); !slices.Equal(got, want) {
					t.Errorf("%s %s: plain names %q and %q", f.Name(), role, got, want)
				}
				if got, want := slices.Sorted(maps.Keys(env.Secret)), slices.Sorted(maps.Keys(first.Secret)); !slices.Equal(got, want) {
					t.Errorf("%s %s: secret names %q and %q", f.Name(), role, got, want)
				}
			}
			for name := range first.Plain {
				if _, both := first.Secret[name]; both {
					t.Errorf("%s %s: %s is both plain and secret", f.Name(), role, name)
				}
			}
		}
	}
}

// TestNothingButSecretsHoldsThePassword, nor is there a reference of the
// core's ("$(NAME)") in a default command, where it would be expanded.
func TestNothingButSecretsHoldsThePassword(t *testing.T) {
	for _, f := range all() {
		for role, facts := range map[managed.Role]managed.Facts{managed.RoleServer: serverFacts, managed.RoleWorker: workerFacts} {
			for name, value := range f.Environment(role, facts).Plain {
				for _, form := range passwordForms(nastyPassword) {
					if strings.Contains(value, form) {
						t.Errorf("%s %s: %s holds the password", f.Name(), role, name)
					}
				}
			}
			d := f.Defaults(role)
			if text := strings.Join(append(d.Entrypoint, d.Command...), " "); strings.Contains(text, "$(") {
				t.Errorf("%s %s: the default command has a $( in it", f.Name(), role)
			}
		}
		c := f.Client(clientFacts)
		for _, code := range []string{c.R, c.Python, c.Shell} {
			if code != "" && !strings.Contains(code, managed.PasswordVariable) {
				t.Errorf("%s: client code does not read %s:\n%s", f.Name(), managed.PasswordVariable, code)
			}
		}
	}
}

// TestDefaultsAreTheCallersOwn: a caller that changes them changes nothing for
// the next one.
func TestDefaultsAreTheCallersOwn(t *testing.T) {
	for _, f := range all() {
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
	return []string{password, redisQuote(password), percentEncode(password)}
}
