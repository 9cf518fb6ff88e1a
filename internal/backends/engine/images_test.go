// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package engine

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/cli/cli/config"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

const (
	registryUser     = "reader"
	registryPassword = "s3cret pass"
)

// pushed brings an image to a registry and takes it from the engine again. It
// gives the image's name there.
func pushed(t *testing.T, address, user, password string) string {
	t.Helper()
	c := testenv.Engine(t, testenv.DockerHost())
	name := address + "/dp/worker:1"
	push(t, c, testenv.BareImage(t, testenv.DockerHost()), name, user, password)
	remove(t, c, name)
	t.Cleanup(func() { // those that had the name once, as well
		all, err := c.ImageList(context.Background(), client.ImageListOptions{Filters: make(client.Filters).Add("reference", address+"/dp/worker")})
		if err != nil {
			t.Error(err)
		}
		for _, img := range all.Items {
			remove(t, c, img.ID)
		}
	})
	return name
}

func push(t *testing.T, c *client.Client, image, name, user, password string) {
	t.Helper()
	if _, err := c.ImageTag(t.Context(), client.ImageTagOptions{Source: image, Target: name}); err != nil {
		t.Fatal(err)
	}
	auth, err := authconfig.Encode(registry.AuthConfig{Username: user, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.ImagePush(t.Context(), name, client.ImagePushOptions{RegistryAuth: auth})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	if err := stream.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, c *client.Client, name string) {
	t.Helper()
	_, _ = c.ImageRemove(context.WithoutCancel(t.Context()), name, client.ImageRemoveOptions{Force: true})
}

func TestPullPolicies(t *testing.T) {
	testenv.Need(t, testenv.Docker, testenv.Registry)
	blank(t)
	name := pushed(t, testenv.StartRegistry(t, "", ""), "", "")
	proxy := testenv.StartAPIProxy(t, testenv.DockerHost())
	var said lines
	e := open(t, Config{Host: proxy.Host, Log: slog.New(slog.NewTextHandler(&said, nil))})
	pulls := func() int {
		t.Helper()
		return proxy.Take().Calls["POST images/create"]
	}
	ctx := t.Context()

	_, err := e.Image(ctx, name, PullNever, "")
	testenv.WantError(t, err, managed.ClassInvalid, AttributeImage, name, `"never"`, "docker load")
	if n := pulls(); n != 0 {
		t.Errorf("%d pulls", n)
	}

	// Many who want the same image cause one pull.
	var g errgroup.Group
	for range 20 {
		g.Go(func() error {
			img, err := e.Image(ctx, name, PullMissing, "")
			if err == nil && (!strings.HasPrefix(img.Digest, strings.TrimSuffix(name, ":1")+"@sha256:") || img.Reference != name || !strings.HasPrefix(img.ID, "sha256:")) {
				err = fmt.Errorf("the image is %+v", img)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if n := pulls(); n != 1 {
		t.Errorf("%d pulls, want 1", n)
	}
	for _, word := range []string{"pulling an image", "pulled an image", name, "as=nobody"} {
		if !strings.Contains(said.String(), word) {
			t.Errorf("the log does not say %q:\n%s", word, said.String())
		}
	}

	before, err := e.Image(ctx, name, PullNever, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Image(ctx, name, PullMissing, ""); err != nil || pulls() != 0 {
		t.Errorf("what is there is pulled again: %v", err)
	}
	// An id is what it is; no registry knows it.
	if img, err := e.Image(ctx, before.ID, PullAlways, ""); err != nil || img.ID != before.ID || pulls() != 0 {
		t.Errorf("by id: %+v, %v", img, err)
	}
	// The tag moves in the registry: only "always" follows it.
	c := testenv.Engine(t, testenv.DockerHost())
	push(t, c, testenv.Image(t, testenv.DockerHost()), name, "", "")
	if _, err := c.ImageTag(ctx, client.ImageTagOptions{Source: before.ID, Target: name}); err != nil {
		t.Fatal(err)
	}
	if img, err := e.Image(ctx, name, PullMissing, ""); err != nil || img.ID != before.ID {
		t.Errorf("%q: %+v, %v", PullMissing, img, err)
	}
	if img, err := e.Image(ctx, name, PullAlways, ""); err != nil || img.ID == before.ID || img.Digest == before.Digest {
		t.Errorf("%q: %+v, %v", PullAlways, img, err)
	}

	for ref, words := range map[string][]string{
		strings.Replace(name, ":1", ":2", 1):          {"does not have it", "name and tag"},
		strings.Replace(name, "worker", "no-such", 1): {"does not have it"},
		"127.0.0.1:1/x:1":                             {"cannot reach the registry 127.0.0.1:1"},
	} {
		_, err := e.Image(ctx, ref, PullMissing, "")
		class := managed.ClassInvalid
		if strings.HasPrefix(ref, "127.0.0.1:1/") {
			class = managed.ClassTransient
		}
		testenv.WantError(t, err, class, AttributeImage, append(words, ref)...)
	}
	_, err = e.Image(ctx, name, PullNever, "linux/s390x")
	testenv.WantError(t, err, managed.ClassInvalid, AttributeImage, "for linux/s390x")

	// One who gives up does not stop the pull for the others.
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = e.Image(ctx, name, PullAlways, "")
	testenv.WantError(t, err, managed.ClassCanceled, "")
}

// TestRegistryLogins asks a real registry that wants a password.
func TestRegistryLogins(t *testing.T) {
	testenv.Need(t, testenv.Docker, testenv.Registry)
	blank(t)
	address := testenv.StartRegistry(t, registryUser, registryPassword)
	name := pushed(t, address, registryUser, registryPassword)
	c := testenv.Engine(t, testenv.DockerHost())
	pull := func(t *testing.T, logins ...Registry) error {
		t.Helper()
		remove(t, c, name)
		e := open(t, Config{Host: testenv.DockerHost(), Registries: logins})
		_, err := e.Image(t.Context(), name, PullMissing, "")
		return err
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))

	t.Run("nobody", func(t *testing.T) {
		blank(t)
		testenv.WantError(t, pull(t), managed.ClassPermission, AttributeImage, "wants a login", "docker.registries", "docker login "+address)
	})
	t.Run("configured", func(t *testing.T) {
		blank(t)
		if err := pull(t, Registry{Address: "other:5000", Username: "x", Password: "y"}, Registry{Address: address, Username: registryUser, Password: registryPassword}); err != nil {
			t.Error(err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		blank(t)
		err := pull(t, Registry{Address: address, Username: registryUser, Password: "not this one"})
		testenv.WantError(t, err, managed.ClassPermission, AttributeImage, "does not accept the login of reader (from docker.registries)")
		if strings.Contains(err.Error(), "not this one") {
			t.Errorf("the password is shown: %v", err)
		}
	})
	t.Run("docker login", func(t *testing.T) {
		blank(t)
		write(t, filepath.Join(config.Dir(), "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, address, encoded))
		if err := pull(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("podman login", func(t *testing.T) {
		home := blank(t)
		t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(home, "auth.json"))
		write(t, filepath.Join(home, "auth.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, address, encoded))
		if err := pull(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("credential helper", func(t *testing.T) {
		home := blank(t)
		helper := filepath.Join(home, "bin", "docker-credential-test")
		write(t, helper, fmt.Sprintf("#!/bin/sh\ncat >/dev/null\nprintf '{\"Username\":\"%s\",\"Secret\":\"%s\"}'\n", registryUser, registryPassword))
		if err := os.Chmod(helper, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", filepath.Dir(helper)+":"+os.Getenv("PATH"))
		write(t, filepath.Join(config.Dir(), "config.json"), fmt.Sprintf(`{"credHelpers":{%q:"test"}}`, address))
		if err := pull(t); err != nil {
			t.Error(err)
		}
		write(t, helper, "#!/bin/sh\necho the vault is locked\nexit 1\n")
		testenv.WantError(t, pull(t), managed.ClassPermission, AttributeImage, "credential helper", "the vault is locked", "docker.registries")
	})
}

// lines is a log that several goroutines write to.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

var _ io.Writer = (*lines)(nil)

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
