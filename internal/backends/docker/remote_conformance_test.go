// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package docker

import (
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

func TestConformancePodman(t *testing.T) {
	testenv.Need(t, testenv.Podman)
	host := testenv.StartPodman(t)
	conform(t, host, func() (*Backend, error) { return New(Config{Config: engine.Config{Host: host}}) })
}

// TestConformanceTLS has an engine whose containers cannot be reached from
// here: all probes go through the engine.
func TestConformanceTLS(t *testing.T) {
	testenv.Need(t, testenv.Dockerd)
	d := testenv.StartDockerd(t, testenv.DockerdOptions{TLS: true})
	conform(t, d.Host, func() (*Backend, error) {
		return New(Config{Config: engine.Config{Host: d.TLSHost, TLS: &engine.TLS{CA: d.TLS.CA, Cert: d.TLS.Cert, Key: d.TLS.Key}}})
	})
}

// TestConformanceSSH has the containers taken as out of reach but for the SSH
// server, as they are from elsewhere.
func TestConformanceSSH(t *testing.T) {
	testenv.Need(t, testenv.Docker, testenv.SSHD)
	s := testenv.StartSSHD(t)
	t.Cleanup(func() { // when the cases, which run side by side, are done
		if s.Logins() == 0 {
			t.Errorf("nothing went through SSH:\n%s", s.Log())
		}
	})
	conform(t, testenv.DockerHost(), func() (*Backend, error) {
		b, err := New(Config{Config: engine.Config{Host: s.Host(testenv.DockerHost()), SSH: &engine.SSH{PrivateKey: s.PrivateKey, KnownHosts: s.KnownHosts}}})
		if err == nil {
			b.far = true
		}
		return b, err
	})
}
