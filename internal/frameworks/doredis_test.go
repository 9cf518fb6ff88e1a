// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

func TestRPackageNames(t *testing.T) {
	for _, good := range []string{"R6", "data.table", "S4Vectors", "bwlewis/doRedis", "a/b/sub.dir", "a-b/c.d@v1.2-rc", "a/b@feature/x"} {
		if wrong := checkRPackage(good); wrong != "" {
			t.Errorf("%q is refused: %s", good, wrong)
		}
	}
	for _, bad := range []string{"", "R", "6R", "data.", "data table", "a,b", "a/", "/b", "a/b@", "-a/b", `a"b`, "a/b c", "a/b\nc", "https://example.com/x", "käse"} {
		if checkRPackage(bad) == "" {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestSystemPackageNames(t *testing.T) {
	for _, good := range []string{"vim", "g++", "libxml2-dev", "libc6:i386", "curl=7.88.1-10+deb12u5", "base-files=1:2~rc1"} {
		if wrong := checkSystemPackage(good); wrong != "" {
			t.Errorf("%q is refused: %s", good, wrong)
		}
	}
	for _, bad := range []string{"", "v", "Vim", "-y", "--reinstall", "vim curl", "a,b", "vim;id", "vim=", "vim=-y", "$HOME", "../x.deb", "vim\n"} {
		if checkSystemPackage(bad) == "" {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestSSHPublicKeys(t *testing.T) {
	key := optionExamples()[doRedis].str(rOptionSSH)
	for _, bad := range []string{
		"", "ssh-ed25519", strings.Replace(key, "AAAA", "BBBB", 1), `command="id" ` + key, key + key,
		"-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET\n-----END OPENSSH PRIVATE KEY-----\n",
	} {
		switch wrong := checkSSHPublicKey(bad); {
		case wrong == "":
			t.Errorf("%q is taken", bad)
		case strings.Contains(wrong, "SECRET"):
			t.Error("the message repeats a private key")
		}
	}
}

// TestRPackagesAsTheImageReadsThem decodes as the image's script does: split
// at commas, URLdecode each.
func TestRPackagesAsTheImageReadsThem(t *testing.T) {
	want := []string{"data.table", "a/b@v1.0~x", "R6"}
	env := rRedis{configured{Values{rOptionPackages: want}}, doRedis}.Environment(managed.RoleWorker, workerFacts)
	var got []string
	for part := range strings.SplitSeq(env.Plain[rPackages], ",") {
		decoded, err := url.PathUnescape(part)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, decoded)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRWorkersAreNotCounted: neither kind of worker tells its pool, so that
// wait_for = "registered" has to be refused at plan.
func TestRWorkersAreNotCounted(t *testing.T) {
	for _, name := range []string{doRedis, redisParam} {
		f, err := New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, counts := f.(managed.WorkerLister); counts {
			t.Errorf("%s claims to count workers", name)
		}
	}
}

// TestRRedisProbe asks a real redis, with its password and with another one.
func TestRRedisProbe(t *testing.T) {
	testenv.Need(t, testenv.Redis)
	s := startRedis(t, []string{"sh"}, nastyPassword)
	defer s.stop(t)
	for _, name := range []string{doRedis, redisParam} {
		f := rRedis{name: name}
		if err := f.ProbeServer(t.Context(), s.dial, s.facts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wrong := s.facts
		wrong.Password = "wrong"
		if err := f.ProbeServer(t.Context(), s.dial, wrong); managed.ClassOf(err) != managed.ClassPermission {
			t.Errorf("%s with a wrong password: %v", name, err)
		}
	}
}
