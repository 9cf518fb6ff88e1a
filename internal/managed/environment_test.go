// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// plainFramework is the least that a framework can be.
type plainFramework struct{}

func (plainFramework) Name() string           { return "plain" }
func (plainFramework) Defaults(Role) Defaults { return Defaults{} }
func (plainFramework) HasPassword() bool      { return true }
func (plainFramework) URL(host string, port int, password Secret) string {
	return fmt.Sprintf("plain://:%s@%s:%d", password.Reveal(), host, port)
}
func (plainFramework) Environment(_ Role, f Facts) Environment {
	return Environment{Plain: map[string]string{"PLAIN_HOST": f.Host}, Secret: map[string]Secret{"PLAIN_SECRET": f.Password}}
}
func (plainFramework) Client(ClientFacts) Client { return Client{} }

func TestExpand(t *testing.T) {
	vars := map[string]string{"A": "1", "EMPTY": "", "DOLLAR": "$(A)"}
	for in, want := range map[string]string{
		"":                  "",
		"no variable":       "no variable",
		"$(A)":              "1",
		"x$(A)y$(A)z":       "x1y1z",
		"$(EMPTY)":          "",
		"$(NONE)":           "$(NONE)",
		"$$(A)":             "$(A)",
		"$$$(A)":            "$1",
		"$A ${A} $":         "$A ${A} $",
		"$(A":               "$(A",
		"$(DOLLAR)":         "$(A)", // what a variable holds is not expanded again
		"a$(NONE)b$(A)c$$d": "a$(NONE)b1c$d",
	} {
		if got := expand(in, func(k string) (string, bool) { v, ok := vars[k]; return v, ok }); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestContainerSpecKeepsSecretsApart(t *testing.T) {
	spec := containerSpec(plainFramework{}, RoleWorker, Template{
		Command:     []string{"work", "--queue", "$(DOCKERPARALLEL_QUEUE)", "--password", "$(DOCKERPARALLEL_SERVER_PASSWORD)"},
		Environment: map[string]string{"MINE": "at $(PLAIN_HOST)", "URL": "$(DOCKERPARALLEL_SERVER_URL)/0"},
		Hardware:    Hardware{CPU: 100, Memory: 10},
	}, Facts{Cluster: "sim", Pool: "p", Host: "h", Port: 7, Password: "hush", Workers: 3})
	if got := strings.Join(spec.Command, " "); got != "work --queue sim --password $(DOCKERPARALLEL_SERVER_PASSWORD)" {
		t.Errorf("command %q: a secret is never expanded there", got)
	}
	if got := spec.Environment["MINE"]; got != "at h" {
		t.Errorf("MINE = %q", got)
	}
	if got := spec.SecretEnvironment["URL"]; got != "plain://:hush@h:7/0" {
		t.Errorf("URL = %q in the secret environment", got)
	}
	if strings.Contains(fmt.Sprint(spec.Environment, spec.Command, spec.Labels), "hush") {
		t.Error("the password is in plain sight")
	}
	for k := range spec.Environment {
		if _, both := spec.SecretEnvironment[k]; both {
			t.Errorf("%s is in both environments", k)
		}
	}
	if spec.Hardware != (Hardware{CPU: 300, Memory: 30}) {
		t.Errorf("hardware %+v is not that of three workers", spec.Hardware)
	}
	if spec.Environment[EnvWorkers] != "3" {
		t.Errorf("%s = %q", EnvWorkers, spec.Environment[EnvWorkers])
	}
}

func TestCheckTemplate(t *testing.T) {
	bad := Template{
		Entrypoint:  []string{"$(PLAIN_SECRET)"},
		Command:     []string{"--url=$(DOCKERPARALLEL_SERVER_URL)", "$$(DOCKERPARALLEL_SERVER_PASSWORD)"},
		Environment: map[string]string{"PLAIN_HOST": "x", "DOCKERPARALLEL_X": "x", "": "x", "A=B": "x", "FINE": "x"},
	}
	var got []string
	for _, p := range CheckTemplate(plainFramework{}, RoleWorker, bad) {
		if p.Warning || p.Detail == "" {
			t.Errorf("%+v", p)
		}
		got = append(got, p.Attribute)
	}
	want := "container.command container.entrypoint container.environment container.environment container.environment container.environment"
	if strings.Join(got, " ") != want {
		t.Errorf("problems at %v", got)
	}
	if p := CheckTemplate(plainFramework{}, RoleServer, Template{Environment: map[string]string{"FINE": "$(PLAIN_SECRET)"}}); len(p) > 0 {
		t.Errorf("a secret in an environment value is fine: %+v", p)
	}
}

func TestSecretHidesItself(t *testing.T) {
	s := Secret("hush")
	b, _ := json.Marshal(map[string]any{"s": s, "e": External{Password: s}})
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), string(b), fmt.Sprintf("%+v %#v", ServerAddress{Password: s}, Facts{Password: s})} {
		if strings.Contains(shown, "hush") {
			t.Errorf("shown: %s", shown)
		}
	}
}

func TestSecretIsHidden(t *testing.T) {
	s := Secret("a b/c@d:é&")
	for _, form := range []string{"a b/c@d:é&", "a%20b%2Fc%40d%3A%C3%A9%26", "a+b%2Fc%40d%3A%C3%A9%26", "a%20b%2Fc@d:%C3%A9&", "a%20b%2Fc%40d%3A%C3%A9&"} {
		if got := s.Hide("redis://:" + form + "@host"); got != "redis://:(secret)@host" {
			t.Errorf("%s becomes %s", form, got)
		}
	}
	if got := Secret("secret").Hide("the secret"); got != "the (secret)" {
		t.Errorf("what is put in is taken for the secret: %q", got)
	}
	if got := Secret("e").Hide("the server"); got != "the server" {
		t.Errorf("a secret of one letter makes it %q", got)
	}
}

func TestHashesChangeExactlyWithWhatRestarts(t *testing.T) {
	base := func() Template {
		return Template{Image: "i", Command: []string{"c"}, Environment: map[string]string{"A": "1"}, Hardware: Hardware{CPU: 1}}
	}
	h := base().Hash()
	for name, change := range map[string]func(*Template){
		"image":       func(x *Template) { x.Image = "j" },
		"entrypoint":  func(x *Template) { x.Entrypoint = []string{"e"} },
		"command":     func(x *Template) { x.Command = []string{"c", "d"} },
		"environment": func(x *Template) { x.Environment["A"] = "2" },
		"hardware":    func(x *Template) { x.Hardware.Memory = 3 },
		"options":     func(x *Template) { x.Options = struct{ X int }{1} },
	} {
		x := base()
		change(&x)
		if x.Hash() == h {
			t.Errorf("a change of %s restarts nothing", name)
		}
	}
	for name, change := range map[string]func(*Template){
		"labels":           func(x *Template) { x.Labels = map[string]string{"a": "b"} },
		"grace":            func(x *Template) { x.StopGrace = 5 },
		"signal":           func(x *Template) { x.StopSignal = "SIGINT" },
		"record":           func(x *Template) { x.Record = Record{Spec: json.RawMessage("1")} },
		"empty entrypoint": func(x *Template) { x.Entrypoint = []string{} },
	} {
		x := base()
		change(&x)
		if x.Hash() != h {
			t.Errorf("a change of %s restarts", name)
		}
	}
	if (Template{}).Hash() != (Template{Environment: map[string]string{}}).Hash() {
		t.Error("no environment and an empty one are the same to a container")
	}
	s := ServerSpec{Template: base(), Port: 1}
	p := s
	p.Port = 2
	if s.Hash() == p.Hash() || s.Hash() == h {
		t.Error("the port is part of a server's hash")
	}
}

func TestLabelsRoundTrip(t *testing.T) {
	l := Labels{
		Namespace: "n", Owner: "o", Cluster: "c", Pool: "p", Role: RoleWorker, Framework: "f", Workers: 4,
		Launch: "l", SpecHash: "h", Token: "t", Record: Record{Spec: json.RawMessage(`{"é":null}`)}.String(),
	}
	m := l.Map()
	m["team"] = "stats"
	got, ours := ParseLabels(m)
	if !ours || fmt.Sprint(got) != fmt.Sprint(l) {
		t.Errorf("%+v came back as %+v", l, got)
	}
	if u := UserLabels(m); !maps.Equal(u, map[string]string{"team": "stats"}) {
		t.Errorf("user labels %v", u)
	}
	r, err := ParseRecord(got.Record)
	if err != nil || string(r.Spec) != `{"é":null}` || r.Version != 1 {
		t.Errorf("record %+v, %v", r, err)
	}
	if _, err := ParseRecord("{"); ClassOf(err) != ClassInvalid {
		t.Errorf("a damaged record: %v", err)
	}
	m[LabelWorkers] = "many"
	if got, _ := ParseLabels(m); got.Workers != 1 {
		t.Errorf("an unreadable number counts as %d workers", got.Workers)
	}
	if _, ours := ParseLabels(map[string]string{LabelCluster: "c"}); ours {
		t.Error("without the managed-by label it is not ours")
	}
}

// TestPortNumbers: a server's further ports are the framework's usual ones
// beside its usual main port, and follow any other.
func TestPortNumbers(t *testing.T) {
	d := Defaults{Port: 8786, Ports: []Port{{Name: "dashboard", Number: 8787}, {Name: "extra", Number: 9000}}}
	for main, want := range map[int]map[string]int{
		8786: {"dashboard": 8787, "extra": 9000},
		7000: {"dashboard": 7001, "extra": 7002},
	} {
		if got := portNumbers(d, main); !maps.Equal(got, want) {
			t.Errorf("beside %d: %v, want %v", main, got, want)
		}
	}
}
