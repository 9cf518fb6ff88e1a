// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// plan is a request, checked and resolved, from which any number of
// containers are started.
type plan struct {
	place   place
	req     managed.RunRequest
	opts    Options
	program string // absolute
	args    []string
	ports   map[string]int
}

// newPlan checks all of a request that needs no container.
func (b *Backend) newPlan(req managed.RunRequest) (*plan, error) {
	p := &plan{req: req}
	var err error
	if p.place, err = b.placeOf(req.Scope, req.Role); err != nil {
		return nil, err
	}
	for _, problem := range b.Validate(req.Role, req.Spec) {
		if !problem.Warning {
			return nil, managed.Errorf(managed.ClassInvalid, problem.Attribute, "%s", problem.Detail)
		}
	}
	p.opts = managed.OptionsAs[Options](req.Spec.Options)
	if wd := p.opts.WorkingDirectory; wd != "" {
		if info, err := os.Stat(wd); err != nil || !info.IsDir() {
			return nil, managed.Errorf(managed.ClassInvalid, "process.working_directory", "the working directory %s is not a folder on this machine", wd)
		}
	}
	argv := slices.Concat(req.Spec.Entrypoint, req.Spec.Command)
	if p.program, err = lookPath(argv[0], p.opts.WorkingDirectory, variables(req.Spec, p.opts, "")); err != nil {
		return nil, err
	}
	p.args = argv[1:]
	p.ports = make(map[string]int, len(req.Spec.Ports))
	for _, port := range req.Spec.Ports {
		p.ports[port.Name] = port.Number
	}
	return p, nil
}

// lookPath finds a program as the process would: by the PATH and from the
// working directory that it will have, not by ours.
func lookPath(name, workingDirectory string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			if workingDirectory == "" {
				return "", managed.Errorf(managed.ClassInvalid, "container.command",
					"the program %q is a relative path, and the process starts in an empty folder; give an absolute path, or set process.working_directory", name)
			}
			path = filepath.Join(workingDirectory, name)
		}
		if err := executable(path); err != nil {
			return "", managed.Errorf(managed.ClassInvalid, "container.command", "the program %s cannot be run on this machine: %w", path, err)
		}
		return path, nil
	}
	path := ""
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			path = value
		}
	}
	var denied error
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			if workingDirectory == "" {
				continue
			}
			dir = filepath.Join(workingDirectory, dir)
		}
		candidate := filepath.Join(dir, name)
		err := executable(candidate)
		if err == nil {
			return candidate, nil
		}
		if errors.Is(err, syscall.EACCES) {
			denied = fmt.Errorf("%s: %w", candidate, err)
		}
	}
	if denied != nil {
		return "", managed.Errorf(managed.ClassInvalid, "container.command", "the program %q cannot be run on this machine: %w", name, denied)
	}
	return "", managed.Errorf(managed.ClassInvalid, "container.command",
		"there is no program %q on this machine; the process backend looked for it in %q (the PATH that the process will have)", name, path)
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Unwrap(err) // without the path, which is in the text already
	}
	if info.IsDir() {
		return syscall.EISDIR
	}
	// Whether we may execute it is the kernel's to say; 1 is X_OK.
	if err := syscall.Access(path, 1); err != nil || info.Mode().Perm()&0o111 == 0 {
		return syscall.EACCES
	}
	return nil
}

// containerID is the same for the same container of a Run that is sent
// again, and different for any other, under any other root.
func (b *Backend) containerID(req managed.RunRequest, i int) string {
	sum := sha256.New()
	for _, part := range []string{b.root, req.Scope.Namespace, req.Scope.Cluster, req.Scope.Pool, string(req.Role), req.Token} {
		fmt.Fprintf(sum, "%d:%s,", len(part), part)
	}
	fmt.Fprintf(sum, "%d", i)
	return hex.EncodeToString(sum.Sum(nil)[:12])
}

// Preflight implements [managed.Preflighter].
func (b *Backend) Preflight(ctx context.Context, req managed.RunRequest, replaces []managed.Handle) error {
	if err := ended(ctx, "checking whether a process can start"); err != nil {
		return err
	}
	p, err := b.newPlan(req)
	if err != nil {
		return err
	}
	if _, err := b.table.boot(); err != nil {
		return err
	}
	if err := b.writableRoot(); err != nil {
		return err
	}
	if len(p.ports) == 0 {
		return nil
	}
	free, err := b.portsOf(ctx, replaces)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(p.ports) {
		if port := p.ports[name]; !free[port] {
			if err := b.checkPort(port); err != nil {
				return err
			}
		}
	}
	return nil
}

// portsOf are the ports that running containers were started for.
func (b *Backend) portsOf(ctx context.Context, handles []managed.Handle) (map[int]bool, error) {
	found, err := b.find(handles, false)
	if err != nil {
		return nil, err
	}
	ports := map[int]bool{}
	for _, e := range found {
		observed, err := b.observe(ctx, []*entry{e})
		if err != nil {
			return nil, err
		}
		if observed[0].Status == managed.StatusRunning {
			for _, port := range e.rec.Ports {
				ports[port] = true
			}
		}
	}
	return ports, nil
}
