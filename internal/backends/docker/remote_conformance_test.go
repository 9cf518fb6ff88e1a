// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package docker

import (
	"net"
	"strconv"
	"testing"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/backends/engine"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

func TestConformancePodman(t *testing.T) {
	testenv.Need(t, testenv.Podman)
	host := testenv.StartPodman(t)
	conform(t, host, func() (*Backend, error) { return New(Config{Config: engine.Config{Host: host}}) })
}

// TestPublishOnPodman has neighbouring ports, which Podman's list tells as one.
func TestPublishOnPodman(t *testing.T) {
	testenv.Need(t, testenv.Podman)
	host := testenv.StartPodman(t)
	s := newBenchOn(t, host, Config{}, testenv.Image(t, host))
	req := s.server()
	first := neighbours(t)
	req.Spec.Ports[0].Publish = &managed.Publish{Address: "127.0.0.1", Port: first}
	req.Spec.Ports = append(req.Spec.Ports, managed.Port{Name: "ui", Number: req.Spec.Ports[0].Number + 1, Publish: &managed.Publish{Address: "127.0.0.1", Port: first + 1}})
	h := s.run(req)
	inv, err := s.List(t.Context(), managed.Selector{Namespace: s.scope.Namespace})
	if err != nil || len(inv.Containers) != 1 {
		t.Fatalf("%+v, %v", inv, err)
	}
	for name, want := range map[string]int{managed.PortMain: first, "ui": first + 1} {
		one, err := s.Endpoint(t.Context(), h, name)
		if listed := inv.Containers[0].Endpoints[name]; err != nil || one.PublicPort != want || listed.PublicPort != want {
			t.Errorf("%q is at %+v (%v), by the list at %+v, want port %d", name, one, err, listed, want)
		}
	}
}

// neighbours are two ports that were free a moment ago; the first is returned.
func neighbours(t *testing.T) int {
	t.Helper()
	for range 100 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at, _ := first.Addr().(*net.TCPAddr)
		second, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port+1)))
		_ = first.Close()
		if err == nil {
			_ = second.Close()
			return at.Port
		}
	}
	t.Fatal("no two ports beside each other are free")
	return 0
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
