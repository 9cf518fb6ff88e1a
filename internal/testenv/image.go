// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// DockerHost is the engine that tests use: DOCKER_HOST or the usual socket.
func DockerHost() string {
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return host
	}
	return client.DefaultDockerHost
}

// Engine is a client of an engine that is reached by a socket, past the code
// under test.
func Engine(t testing.TB, host string) *client.Client {
	t.Helper()
	c, err := client.New(client.WithHost(host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Image gives an engine an image with two static programs, /node (see Node)
// and a shell with the usual tools, and gives its name. It is removed at the
// test's end, and with it the containers that were made from it.
func Image(t testing.TB, host string) string {
	t.Helper()
	Need(t, Shell)
	return imported(t, host, func(w *tar.Writer) {
		addFile(t, w, "node", node(t, "linux"))
		busybox, err := exec.LookPath("busybox")
		if err != nil {
			t.Fatal(err)
		}
		addFile(t, w, "bin/busybox", busybox)
		for _, name := range []string{"sh", "sleep", "cat", "nc", "true", "false", "echo", "env", "id", "ls", "stat", "df", "dd", "ulimit", "touch"} {
			_ = w.WriteHeader(&tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"})
		}
	})
}

// BareImage has nothing in it but /node.
func BareImage(t testing.TB, host string) string {
	t.Helper()
	return imported(t, host, func(w *tar.Writer) { addFile(t, w, "node", node(t, "linux")) })
}

func addFile(t testing.TB, w *tar.Writer, name, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(b))})
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func imported(t testing.TB, host string, fill func(*tar.Writer)) string {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return importImage(t, host, "dockerparallel.local/test-"+strings.ToLower(rand.Text()[:10])+":1", &buf)
}

// removeImage is for the end of a test: what cannot be removed is left. The
// test may have given the name to another image.
func removeImage(c *client.Client, name, id string) {
	ctx := context.Background()
	list, err := c.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("ancestor", id)})
	if err == nil {
		for _, item := range list.Items {
			_, _ = c.ContainerRemove(ctx, item.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		}
	}
	_, _ = c.ImageRemove(ctx, name, client.ImageRemoveOptions{Force: true})
	_, _ = c.ImageRemove(ctx, id, client.ImageRemoveOptions{Force: true, PruneChildren: true})
}
