// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// SystemPython is Debian's own interpreter, which has Debian's packages; the
// first on the PATH may be another.
const SystemPython = "/usr/bin/python3"

// pythonPackages have the frameworks that real work is done with.
const pythonPackages = "python3-rq,python3-celery,python3-distributed,redis-server"

// missingPython says which package has a module that is not there.
func missingPython(module, pkg string) string {
	if err := exec.Command(SystemPython, "-c", "import "+module).Run(); err != nil {
		return SystemPython + " has no module " + module + " (Debian: apt-get install " + pkg + ")"
	}
	return ""
}

// PythonImage gives an engine an image of a Debian system with Python, RQ,
// Celery, Dask and Redis, and gives its name. It takes about a minute. The
// image is removed at the test's end, and with it its containers.
func PythonImage(t testing.TB, host string) string {
	t.Helper()
	Need(t, Mmdebstrap)
	file := filepath.Join(t.TempDir(), "root.tar")
	build := exec.CommandContext(t.Context(), "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
		"--aptopt=Acquire::Languages \"none\"", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--include="+pythonPackages, "bookworm", file)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("making a Debian root file system: %v\n%s", err, out)
	}
	archive, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = archive.Close() }()
	return importImage(t, host, "dockerparallel.local/python-"+strings.ToLower(rand.Text()[:10])+":1", archive)
}

// importImage makes an image of a root file system for the time of a test.
func importImage(t testing.TB, host, name string, root io.Reader) string {
	t.Helper()
	c := Engine(t, host)
	res, err := c.ImageImport(t.Context(), client.ImageImportSource{Source: root, SourceName: "-"}, name, client.ImageImportOptions{})
	if err != nil {
		t.Fatalf("importing an image: %v", err)
	}
	_, _ = io.Copy(io.Discard, res)
	_ = res.Close()
	made, err := c.ImageInspect(t.Context(), name)
	if err != nil {
		t.Fatalf("importing an image: %v", err)
	}
	t.Cleanup(func() { removeImage(c, name, made.ID) })
	return name
}
