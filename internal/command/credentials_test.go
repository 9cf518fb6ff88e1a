// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package command_test

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	// Everything that a shell could take for something else.
	const password = "it's \"$(touch x)\" `y` \\ * ~ #;&|<>\t!\nü"
	s := w.server("alice", "lab", "sim", password)

	out := w.run("credentials", "sim", "--namespace", "lab").want(t, 0).out
	script := out + `printf '%s|' "$DOCKERPARALLEL_PASSWORD" "$DOCKERPARALLEL_QUEUE" "$DOCKERPARALLEL_SERVER_HOST" "$DOCKERPARALLEL_SERVER_PORT" "$DOCKERPARALLEL_URL"`
	port := strconv.Itoa(s.Endpoint.PrivatePort)
	want := strings.Join([]string{password, "sim", "127.0.0.1", port, "tcp://127.0.0.1:" + port}, "|") + "|"
	for _, sh := range []string{"sh", "bash", "dash", "zsh", "ksh"} {
		if _, err := exec.LookPath(sh); err != nil {
			continue
		}
		got, err := exec.Command(sh, "-c", script).Output()
		if err != nil || string(got) != want {
			t.Errorf("%s makes %q of it (%v), want %q", sh, got, err, want)
		}
	}
	if !strings.HasSuffix(out, "\n# Run: eval \"$(terraform-provider-dockerparallel credentials sim --process-root '"+w.root+"' --namespace lab)\"\n") {
		t.Errorf("the last line says how to use it, but not here:\n%s", out)
	}

	var v struct {
		Namespace, Cluster, Launch, Framework, Host, Queue, Password, URL string
		Port                                                              int
	}
	// Flags may come first, and an id is as good as a name.
	if err := json.Unmarshal([]byte(w.run("credentials", "--namespace", "lab", "--json", "sim@"+s.Launch).want(t, 0).out), &v); err != nil {
		t.Fatal(err)
	}
	if v.Password != password || v.Port != s.Endpoint.PrivatePort || v.Host != "127.0.0.1" || v.Queue != "sim" || v.Launch != s.Launch ||
		v.Framework != "custom" || v.Namespace != "lab" || v.Cluster != "sim" || v.URL != "tcp://127.0.0.1:"+port {
		t.Errorf("credentials --json gives %+v", v)
	}
	if out := w.run("credentials", "sim", "--namespace", "lab", "--show-url").want(t, 0).out; out != "tcp://127.0.0.1:"+port+"\n" {
		t.Errorf("credentials --show-url gives %q", out)
	}
}

func TestCredentialsOfOtherShells(t *testing.T) {
	w := newWorld(t)
	w.server("", "default", "sim", `a'b\c’d`)
	for sh, want := range map[string]string{
		"fish":       `set -gx DOCKERPARALLEL_PASSWORD 'a\'b\\c’d';` + "\n",
		"powershell": `$Env:DOCKERPARALLEL_PASSWORD = 'a''b\c’’d'` + "\n",
		"zsh":        `export DOCKERPARALLEL_PASSWORD='a'\''b\c’d'` + "\n",
	} {
		if out := w.run("credentials", "sim", "--shell", sh).want(t, 0).out; !strings.HasPrefix(out, want) {
			t.Errorf("for %s it prints\n%s\nwant\n%s", sh, out, want)
		}
	}
}

func TestCredentialsMissing(t *testing.T) {
	w := newWorld(t)
	w.run("credentials", "sim").want(t, 1).says(t, `there is no cluster "sim" in namespace "default"`, "there is none", w.root)
	w.server("", "default", "other", "")
	s := w.server("", "default", "stopped", "")
	w.killOutside(s.Handle)
	r := w.run("credentials", "sim").want(t, 1).says(t, "there is other, stopped")
	if r.out != "" {
		t.Errorf("stdout is not empty: %s", r.out)
	}
	w.run("credentials", "stopped").want(t, 1).says(t, `the server of cluster "stopped" in namespace "default" does not run (stopped, killed by SIGKILL): apply the cluster again`)
}
