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
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// List implements [managed.Lister]. Of the containers it reads only the
// folders that the selector names.
func (b *Backend) List(ctx context.Context, sel managed.Selector) (managed.Inventory, error) {
	if err := ended(ctx, "listing processes"); err != nil {
		return managed.Inventory{}, err
	}
	entries, broken, err := b.entries(sel, false)
	if err != nil {
		return managed.Inventory{}, err
	}
	observed, err := b.observe(ctx, entries)
	if err != nil {
		return managed.Inventory{}, err
	}
	var inv managed.Inventory
	for i, e := range entries {
		if !observed[i].Known {
			continue // gone meanwhile
		}
		c := managed.Container{Handle: e.handle(), Name: e.id, Observation: observed[i], Labels: e.rec.Labels}
		if len(e.rec.Ports) > 0 {
			c.Endpoints = make(map[string]managed.Endpoint, len(e.rec.Ports))
			for name, port := range e.rec.Ports {
				c.Endpoints[name] = localEndpoint(port)
			}
		}
		inv.Containers = append(inv.Containers, c)
	}
	inv.Artifacts, err = b.artifacts(sel, broken)
	return inv, err
}

// entries are the containers that a selector matches, and apart from them
// the folders that have lost their record. Unless they are read anew, they
// are to be observed before they are believed: of what is remembered nothing
// is read then.
func (b *Backend) entries(sel managed.Selector, anew bool) (whole, broken []*entry, err error) {
	if exists, err := b.checkRoot(); err != nil || !exists {
		return nil, nil, err
	}
	places, err := b.places(sel)
	if err != nil {
		return nil, nil, err
	}
	type found struct {
		place place
		id    string
	}
	var all []found
	for _, p := range places {
		ids, err := folderNames(p.dir)
		if err != nil {
			return nil, nil, err
		}
		for _, id := range ids {
			if !strings.HasPrefix(id, ".") {
				all = append(all, found{p, id})
			}
		}
	}
	loaded := make([]*entry, len(all))
	lost := make([]*entry, len(all))
	err = sideBySide(len(all), func(i int) error {
		if e := b.known.working(filepath.Join(all[i].place.dir, all[i].id)); e != nil && !anew {
			loaded[i] = e
			return nil
		}
		e, err := b.load(all[i].place, all[i].id)
		switch {
		case err == nil:
			loaded[i] = e
		case errors.Is(err, errBroken):
			lost[i] = e
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		if loaded[i] != nil {
			whole = append(whole, loaded[i])
			if b.known.get(loaded[i].handle()) == nil {
				b.known.put(loaded[i])
			}
		}
		if lost[i] != nil {
			broken = append(broken, lost[i])
		}
	}
	return whole, broken, nil
}

// places are where the containers of a selector lie. They may not exist.
func (b *Backend) places(sel managed.Selector) ([]place, error) {
	clusters, err := b.clusters(sel)
	if err != nil {
		return nil, err
	}
	var places []place
	for _, scope := range clusters {
		cluster := b.clusterFolder(scope.Namespace, scope.Cluster)
		if sel.Pool == "" && sel.Role != managed.RoleWorker {
			places = append(places, place{scope, managed.RoleServer, filepath.Join(cluster, serverFolder)})
		}
		if sel.Role == managed.RoleServer {
			continue
		}
		pools := []string{sel.Pool}
		if sel.Pool == "" {
			if pools, err = namesIn(filepath.Join(cluster, poolsFolder)); err != nil {
				return nil, err
			}
		}
		for _, pool := range pools {
			scope.Pool = pool
			places = append(places, place{scope, managed.RoleWorker, filepath.Join(cluster, poolsFolder, folderName(pool))})
		}
	}
	return places, nil
}

// clusters that a selector matches, as scopes without a pool. Names that are
// given are not looked up.
func (b *Backend) clusters(sel managed.Selector) ([]managed.Scope, error) {
	for _, name := range []string{sel.Namespace, sel.Cluster, sel.Pool} {
		if name != "" {
			if err := checkNames("selecting processes", name); err != nil {
				return nil, err
			}
		}
	}
	namespaces := []string{sel.Namespace}
	if sel.Namespace == "" {
		var err error
		if namespaces, err = namesIn(b.root); err != nil {
			return nil, err
		}
	}
	var scopes []managed.Scope
	for _, namespace := range namespaces {
		clusters := []string{sel.Cluster}
		if sel.Cluster == "" {
			var err error
			if clusters, err = namesIn(filepath.Join(b.root, folderName(namespace))); err != nil {
				return nil, err
			}
		}
		for _, cluster := range clusters {
			scopes = append(scopes, managed.Scope{Namespace: namespace, Cluster: cluster})
		}
	}
	return scopes, nil
}

// namesIn are the names that the folders in a folder stand for.
func namesIn(dir string) ([]string, error) {
	folders, err := folderNames(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, folder := range folders {
		if name, ok := nameOfFolder(folder); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// artifacts are secrets, and folders that hold no container any more.
func (b *Backend) artifacts(sel managed.Selector, broken []*entry) ([]managed.Artifact, error) {
	clusters, err := b.clusters(sel)
	if err != nil {
		return nil, err
	}
	var all []managed.Artifact
	for _, cluster := range clusters {
		scopes, err := b.secrets(cluster)
		if err != nil {
			return nil, err
		}
		for _, scope := range scopes {
			s, at, err := b.readSecret(scope)
			if err != nil {
				return nil, err
			}
			if s != nil {
				all = append(all, managed.Artifact{Kind: kindSecret, ID: b.artifactID(b.secretPath(scope)), Labels: scopeLabels(scope, s.Labels), CreatedAt: at})
			}
		}
	}
	add := func(path string, scope managed.Scope) {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > garbageAge {
			all = append(all, managed.Artifact{Kind: kindFolder, ID: b.artifactID(path), Labels: scopeLabels(scope, nil), CreatedAt: info.ModTime()})
		}
	}
	for _, e := range broken {
		add(e.dir, e.scope)
	}
	for _, scope := range clusters { // of a secret that was being written
		dir := b.clusterFolder(scope.Namespace, scope.Cluster)
		files, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fileError(err, "looking for what a crash left")
		}
		for _, f := range files {
			if path := filepath.Join(dir, f.Name()); isGarbage(path) {
				add(path, scope)
			}
		}
	}
	places, err := b.places(sel)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		names, err := folderNames(p.dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if path := filepath.Join(p.dir, name); isGarbage(path) {
				add(path, p.scope)
			}
		}
	}
	return all, nil
}

const (
	kindSecret = "secret"
	kindFolder = "folder"
)

// artifactID is a path below the root, which is what the folders are called
// wherever the root is.
func (b *Backend) artifactID(path string) string {
	rel, err := filepath.Rel(b.root, path)
	if err != nil {
		return path
	}
	return rel
}

// scopeLabels are an artifact's labels, completed from where it lies.
func scopeLabels(s managed.Scope, labels map[string]string) map[string]string {
	all := map[string]string{
		managed.LabelManagedBy: managed.ManagedBy,
		managed.LabelNamespace: s.Namespace,
		managed.LabelCluster:   s.Cluster,
		managed.LabelPool:      s.Pool,
	}
	for k, v := range labels {
		all[k] = v
	}
	return all
}

// KillArtifacts implements [managed.ArtifactKiller].
func (b *Backend) KillArtifacts(ctx context.Context, artifacts []managed.Artifact) error {
	if exists, err := b.checkRoot(); err != nil || !exists {
		return err
	}
	var errs []error
	for _, a := range artifacts {
		errs = append(errs, b.killArtifact(ctx, a))
	}
	return errors.Join(errs...)
}

func (b *Backend) killArtifact(ctx context.Context, a managed.Artifact) error {
	if err := ended(ctx, "removing artifacts"); err != nil {
		return err
	}
	parts := strings.Split(a.ID, string(filepath.Separator))
	if !filepath.IsLocal(a.ID) || len(parts) < 3 {
		return nil // not one of ours, so unknown
	}
	namespace, ok1 := nameOfFolder(parts[0])
	cluster, ok2 := nameOfFolder(parts[1])
	if !ok1 || !ok2 {
		return nil
	}
	scope := managed.Scope{Namespace: namespace, Cluster: cluster}
	if pool, ok := poolOfSecret(parts[2]); ok && a.Kind == kindSecret && len(parts) == 3 {
		scope.Pool = pool
		return b.DeleteSecret(ctx, scope)
	}
	if a.Kind != kindFolder {
		return nil
	}
	if len(parts) == 3 && strings.HasPrefix(parts[2], ".") {
		dir := b.clusterFolder(namespace, cluster)
		if path := filepath.Join(dir, parts[2]); isGarbage(path) {
			if err := removeAll(path); err != nil {
				return fileError(err, "removing what a crash left")
			}
			removeEmpty(dir, b.root)
		}
		return nil
	}
	role := managed.RoleServer
	if len(parts) == 5 && parts[2] == poolsFolder {
		role = managed.RoleWorker
		if scope.Pool, ok1 = nameOfFolder(parts[3]); !ok1 {
			return nil
		}
	} else if len(parts) != 4 || parts[2] != serverFolder {
		return nil
	}
	p, err := b.placeOf(scope, role)
	if err != nil {
		return err
	}
	id := parts[len(parts)-1]
	if strings.HasPrefix(id, ".") {
		if path := filepath.Join(p.dir, id); isGarbage(path) {
			return fileErrorOrNil(removeAll(path), "removing what a crash left")
		}
		return nil
	}
	e, err := b.load(p, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !errors.Is(err, errBroken) {
		return err // nil for a container, which Kill is for
	}
	// Its record is lost, but a process of it may live.
	if err := b.readRun(e); err != nil {
		return err
	}
	boot, err := b.table.boot()
	if err != nil {
		return err
	}
	e.rec = &record{Boot: boot}
	if errs := b.stop(ctx, []*entry{e}); len(errs) > 0 {
		return errs
	}
	return nil
}
