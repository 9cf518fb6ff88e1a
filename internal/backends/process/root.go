// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Under the root, containers lie by where they are looked for:
//
//	<namespace>/<cluster>/server/<id>/
//	<namespace>/<cluster>/pools/<pool>/<id>/
//	<namespace>/<cluster>/secret.json, and secret@<pool>.json
//
// Folders that are being made or removed begin with a dot, which neither a
// name nor an id does.
const (
	serverFolder   = "server"
	poolsFolder    = "pools"
	buildingPrefix = ".new-"
	doomedPrefix   = ".dead-"
)

const (
	// attempts to make something in a folder that others may remove while it is empty.
	attempts = 100
	// garbageAge is how old a folder with a dot is if no one works on it any more.
	garbageAge = 10 * time.Second
)

// place is where the containers of a role in a scope lie.
type place struct {
	scope managed.Scope
	role  managed.Role
	dir   string
}

func (b *Backend) clusterFolder(namespace, cluster string) string {
	return filepath.Join(b.root, folderName(namespace), folderName(cluster))
}

// placeOf finds the place for a role, and checks the names that lead there.
func (b *Backend) placeOf(scope managed.Scope, role managed.Role) (place, error) {
	if err := checkNames("the namespace and the name of a cluster", scope.Namespace, scope.Cluster); err != nil {
		return place{}, err
	}
	cluster := b.clusterFolder(scope.Namespace, scope.Cluster)
	switch role {
	case managed.RoleServer:
		scope.Pool = ""
		return place{scope, role, filepath.Join(cluster, serverFolder)}, nil
	case managed.RoleWorker:
		if err := checkNames("the name of a pool", scope.Pool); err != nil {
			return place{}, err
		}
		return place{scope, role, filepath.Join(cluster, poolsFolder, folderName(scope.Pool))}, nil
	}
	return place{}, managed.Errorf(managed.ClassInvalid, "", "there is no role %q", role)
}

// checkRoot tells whether the root exists, and refuses one that others could
// have written to: its records say which processes to kill.
func (b *Backend) checkRoot() (exists bool, err error) {
	info, err := os.Stat(b.root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, rootError(b.root, err)
	case !info.IsDir():
		return false, managed.Errorf(managed.ClassPermission, "process.root",
			"%s, where the process backend keeps its records, is not a folder; remove it or set process.root", b.root)
	case info.Mode().Perm()&0o022 != 0:
		return false, managed.Errorf(managed.ClassPermission, "process.root",
			"others may write to %s, where the process backend keeps its records; run chmod go-w on it, or set process.root to a folder of your own", b.root)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return false, managed.Errorf(managed.ClassPermission, "process.root",
			"%s, where the process backend keeps its records, belongs to user %d, not to you (user %d); set process.root to a folder of your own", b.root, stat.Uid, os.Geteuid())
	}
	return true, nil
}

// ensureRoot makes the root if it is missing, and checks it.
func (b *Backend) ensureRoot() error {
	exists, err := b.checkRoot()
	if err != nil || exists {
		return err
	}
	if err := os.MkdirAll(b.root, 0o700); err != nil {
		return rootError(b.root, err)
	}
	_, err = b.checkRoot()
	return err
}

// writableRoot also tries to write.
func (b *Backend) writableRoot() error {
	var err error
	for range attempts {
		if err = b.ensureRoot(); err != nil {
			return err
		}
		var probe string
		if probe, err = os.MkdirTemp(b.root, buildingPrefix); err == nil {
			return os.Remove(probe)
		}
		if !errors.Is(err, fs.ErrNotExist) { // else a deep clean-up took the empty root
			break
		}
	}
	return rootError(b.root, err)
}

func rootError(root string, err error) error {
	return managed.Errorf(managed.ClassPermission, "process.root",
		"the process backend cannot keep its records in %s: %w; make it a folder that you can write to, or set process.root", root, err)
}

// Prepare implements [managed.Preparer]. The folders of a scope are made
// with what goes into them; what can go wrong for all of them is found here.
func (b *Backend) Prepare(ctx context.Context, scope managed.Scope, _ any) error {
	if err := ended(ctx, "preparing a place for processes"); err != nil {
		return err
	}
	if err := b.checkScope(scope); err != nil {
		return err
	}
	if _, err := b.table.boot(); err != nil {
		return err
	}
	return b.writableRoot()
}

// Cleanup implements [managed.Preparer]: it removes the folders of the scope
// that are empty; deep, all empty ones and the root.
func (b *Backend) Cleanup(ctx context.Context, scope managed.Scope, deep bool) (left []string, err error) {
	return nil, b.cleanup(ctx, scope, deep)
}

func (b *Backend) cleanup(ctx context.Context, scope managed.Scope, deep bool) error {
	if err := ended(ctx, "removing empty folders"); err != nil {
		return err
	}
	if err := b.checkScope(scope); err != nil {
		return err
	}
	if exists, err := b.checkRoot(); err != nil || !exists {
		return err
	}
	sel := managed.Selector{Namespace: scope.Namespace, Cluster: scope.Cluster, Pool: scope.Pool}
	if deep {
		sel = managed.Selector{}
	}
	places, err := b.places(sel)
	if err != nil {
		return err
	}
	for _, p := range places {
		if err := sweepGarbage(p.dir); err != nil {
			return err
		}
		// The place, the folder of all pools, the cluster, the namespace: as
		// far as they are empty. Removing a folder that is not does nothing.
		removeEmpty(p.dir, b.root)
	}
	clusters, err := b.clusters(sel)
	if err != nil {
		return err
	}
	for _, c := range clusters {
		if scope.Pool == "" || deep {
			removeEmpty(filepath.Join(b.clusterFolder(c.Namespace, c.Cluster), poolsFolder), b.root)
		}
		if err := sweepGarbage(b.clusterFolder(c.Namespace, c.Cluster)); err != nil {
			return err
		}
		removeEmpty(b.clusterFolder(c.Namespace, c.Cluster), b.root)
	}
	if deep {
		namespaces, err := namesIn(b.root)
		if err != nil {
			return err
		}
		for _, namespace := range namespaces {
			removeEmpty(filepath.Join(b.root, folderName(namespace)), b.root)
		}
		if err := sweepGarbage(b.root); err != nil {
			return err
		}
		_ = os.Remove(b.root)
	}
	return nil
}

// removeEmpty removes a folder and its parents below the root while they are empty.
func removeEmpty(dir, root string) {
	for dir != root && strings.HasPrefix(dir, root) {
		if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
		dir = filepath.Dir(dir)
	}
}

// sweepGarbage removes what a crash left half made or half removed.
func sweepGarbage(dir string) error {
	names, err := folderNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if isGarbage(path) {
			if err := removeAll(path); err != nil {
				return fileError(err, "removing what a crash left")
			}
		}
	}
	return nil
}

// isGarbage tells whether a folder or file was left half made. No process
// runs from it: one is started only after its folder has its name, and the
// folder loses it after the process has ended.
func isGarbage(path string) bool {
	name := filepath.Base(path)
	if !strings.HasPrefix(name, buildingPrefix) && !strings.HasPrefix(name, doomedPrefix) {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && time.Since(info.ModTime()) > garbageAge
}

func (b *Backend) checkScope(s managed.Scope) error {
	if s.Pool != "" {
		if err := checkNames("the name of a pool", s.Pool); err != nil {
			return err
		}
	}
	return checkNames("the namespace and the name of a cluster", s.Namespace, s.Cluster)
}

// ended is an error if ctx is done.
func ended(ctx context.Context, doing string) error {
	if ctx.Err() == nil {
		return nil
	}
	class := managed.ClassCanceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		class = managed.ClassDeadline
	}
	return managed.Errorf(class, "", "%s: %w", doing, context.Cause(ctx))
}

// fileError gives a failure of the file system or of a start its class.
func fileError(err error, doing string) error {
	class := managed.ClassUnknown
	var classified *managed.Error
	switch {
	case errors.As(err, &classified):
		return err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		class = managed.ClassPermission
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EAGAIN),
		errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		class = managed.ClassCapacity
	}
	return managed.Errorf(class, "", "%s: %w", doing, err)
}

// folderNames are the names in a folder; none if it does not exist.
func folderNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fileError(err, "reading the records")
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileError(err, "reading the records")
	}
	return names, nil
}
