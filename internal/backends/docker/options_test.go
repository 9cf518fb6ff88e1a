// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// TestOptions has the engine tell what it made of all that a role can say, and
// the container what it finds.
func TestOptions(t *testing.T) {
	s := newBench(t, Config{})
	ctx := t.Context()
	extra, err := s.outside.NetworkCreate(ctx, "extra-"+s.scope.Namespace, client.NetworkCreateOptions{Driver: "bridge", Labels: map[string]string{managed.LabelNamespace: s.scope.Namespace}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the bench's own, which finds nothing left
		for _, c := range s.all() {
			_, _ = s.outside.ContainerRemove(context.Background(), c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		}
		_, _ = s.outside.NetworkRemove(context.Background(), extra.ID, client.NetworkRemoveOptions{})
	})
	req := s.worker()
	req.Spec.Environment = map[string]string{"B": "2", "A": "1 and $HOME"}
	req.Spec.SecretEnvironment = map[string]string{"SECRET": "x"}
	req.Spec.Hardware = managed.Hardware{CPU: 512, Memory: 64}
	req.Spec.StopSignal = "SIGINT"
	dir := t.TempDir()
	req.Spec.Options = &Options{
		ExtraNetworks: []string{"extra-" + s.scope.Namespace},
		Mounts: []Mount{
			{Type: "bind", Source: dir, Target: "/data", ReadOnly: true},
			{Type: "tmpfs", Target: "/scratch", TmpfsSize: 8},
			{Type: "volume", Target: "/anonymous"},
		},
		Devices: []string{"/dev/null:/dev/nothing:r"}, User: "1000:1000", GroupAdd: []string{"44"}, WorkingDir: "/bin",
		CapAdd: []string{"NET_ADMIN"}, CapDrop: []string{"MKNOD"}, SecurityOpt: []string{"no-new-privileges"}, ReadOnlyRootFS: true,
		Ulimits: map[string]Ulimit{"nofile": {Soft: 512, Hard: 1024}}, Sysctls: map[string]string{"net.ipv4.ip_unprivileged_port_start": "80"},
		ShmSize: 16, CPUSet: "0", IpcMode: "private", ExtraHosts: map[string]string{"db": "10.9.8.7"}, DNS: []string{"192.0.2.1"}, DNSSearch: []string{"example.com"},
		LogDriver: "json-file", LogOptions: map[string]string{"max-size": "1m"}, RestartPolicy: "on-failure:2", Platform: "linux/amd64", StopSignal: "SIGQUIT",
	}
	if found := validate(managed.RoleWorker, req.Spec); len(found) > 0 {
		t.Fatal(found)
	}
	if err := s.Preflight(ctx, req, nil); err != nil {
		t.Fatal(err)
	}
	h := s.run(req)
	c := s.inspectOutside(h)
	host := c.HostConfig
	for what, ok := range map[string]bool{
		"CPU":                 host.NanoCPUs == 500_000_000,
		"memory":              host.Memory == 64<<20 && host.MemorySwap == 64<<20,
		"shm":                 host.ShmSize == 16<<20,
		"log":                 host.LogConfig.Type == "json-file" && host.LogConfig.Config["max-size"] == "1m",
		"restart":             host.RestartPolicy.Name == "on-failure" && host.RestartPolicy.MaximumRetryCount == 2,
		"stop":                c.Config.StopSignal == "SIGQUIT",
		"networks":            len(c.NetworkSettings.Networks) == 2,
		"read-only root":      host.ReadonlyRootfs,
		"no secret in labels": !slices.ContainsFunc(slices.Collect(maps.Values(c.Config.Labels)), func(v string) bool { return v == "x" }),
	} {
		if !ok {
			t.Errorf("%s: %+v\n%+v", what, host, c.Config)
		}
	}
	inside := func(script string) string {
		t.Helper()
		code, said, err := s.execScript(ctx, h, script)
		if err != nil || code != 0 {
			t.Fatalf("%s: %d, %q, %v", script, code, said, err)
		}
		return said
	}
	for script, want := range map[string]string{
		`echo "$A/$B/$SECRET"`:            "1 and $HOME/2/x",
		"echo $(id -u):$(id -g) $(id -G)": "1000:1000 1000 44",
		"pwd":                             "/bin",
		// Of the container's own process: runc 1.1.5 does not always give them to an exec.
		`while read a b c soft d; do case "$b $c" in "open files") echo "$soft";; esac; done </proc/1/limits`: "512",
		"cat /proc/sys/net/ipv4/ip_unprivileged_port_start":                                                   "80",
		`touch /x 2>&1 | cat`:      "touch: /x: Read-only file system",
		`touch /data/x 2>&1 | cat`: "touch: /data/x: Read-only file system",
		`while read a b; do case "$b" in db) echo "$a";; esac; done </etc/hosts`:           "10.9.8.7",
		`while read a b; do case "$a" in search) echo "$b";; esac; done </etc/resolv.conf`: "example.com",
		"[ -c /dev/nothing ] && echo there":                                                "there",
		"touch /scratch/x && echo written":                                                 "written",
	} {
		if got := strings.TrimSpace(inside(script)); got != want {
			t.Errorf("%s says %q, want %q", script, got, want)
		}
	}
	// What the daemon makes of it is no change: the hash is of what was asked.
	seen, err := s.List(ctx, managed.Selector{Namespace: s.scope.Namespace})
	if err != nil || len(seen.Containers) != 1 || seen.Containers[0].Labels[managed.LabelToken] != req.Token {
		t.Errorf("%+v, %v", seen, err)
	}
	for label := range seen.Containers[0].Labels {
		if strings.HasPrefix(label, ownPrefix) {
			t.Errorf("the backend's own label %s is handed on", label)
		}
	}
}

// TestWhatTheEngineRefuses names the attribute and what to do.
func TestWhatTheEngineRefuses(t *testing.T) {
	s := newBench(t, Config{})
	with := func(o Options, change ...func(*managed.ContainerSpec)) managed.RunRequest {
		req := s.worker()
		req.Spec.Options = o
		for _, f := range change {
			f(&req.Spec)
		}
		return req
	}
	for name, c := range map[string]struct {
		req       managed.RunRequest
		attribute string
		words     []string
	}{
		"command":    {s.worker("/no/such"), "container.command", []string{"is the command in the image"}},
		"mount":      {with(Options{Mounts: []Mount{{Type: "bind", Source: "/no/such/path", Target: "/x"}}}), "docker.mounts", []string{"/no/such/path", "engine's host"}},
		"runtime":    {with(Options{Runtime: "no-such"}), "docker.runtime", []string{"no-such"}},
		"network":    {with(Options{Network: "no-such"}), "docker.network", []string{"no-such"}},
		"driver":     {with(Options{LogDriver: "no-such"}), "docker.log_driver", []string{"no-such"}},
		"option":     {with(Options{LogDriver: "json-file", LogOptions: map[string]string{"no-such": "1"}}), "docker.log_driver", []string{"no-such"}},
		"processors": {with(Options{}, func(spec *managed.ContainerSpec) { spec.Hardware.CPU = 1024 * 1000 }), "hardware.cpu", []string{"CPU"}},
		"platform":   {with(Options{Platform: "linux/s390x", PullPolicy: "never"}), "container.image", []string{"linux/s390x"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Preflight(t.Context(), c.req, nil)
			if err == nil {
				_, err = s.Run(t.Context(), c.req)
			}
			testenv.WantError(t, err, managed.ClassInvalid, c.attribute, c.words...)
			if left := s.all(); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
