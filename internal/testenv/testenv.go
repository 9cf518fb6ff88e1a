// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package testenv says what a test needs of the machine it runs on. Where
// that is missing, the test is skipped with a reason, except in CI, where it
// fails: there, a test that did not run must not look like one that passed.
package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Part is something that a test may need.
type Part int

// The parts.
const (
	// Redis is redis-server on the PATH.
	Redis Part = iota + 1
	// Terraform is a Terraform or OpenTofu program; CLI gives its path.
	Terraform
	// Docker is a Docker daemon that answers, at DOCKER_HOST or the usual socket.
	Docker
	// Provider is the provider's program; ProviderBinary gives its path.
	Provider
	// Acceptance is the wish to run slow tests with a real Terraform: TF_ACC.
	Acceptance
	// Dockerd is the right and the programs to start an engine of the test's
	// own; StartDockerd does.
	Dockerd
	// Podman is the right and the programs to start a Podman service;
	// StartPodman does.
	Podman
	// SSHD is sshd; StartSSHD starts it.
	SSHD
	// Registry is docker-registry; StartRegistry starts it.
	Registry
	// Shell is a static busybox, which Image puts into images.
	Shell
	// Mmdebstrap is the right and the program to make a Debian root file system.
	Mmdebstrap
	// RQ, Celery and Dask are the frameworks' programs and modules, for
	// SystemPython.
	RQ
	Celery
	Dask
)

// sshdProgram has to be started by its whole path.
const sshdProgram = "/usr/sbin/sshd"

// missing says why a part cannot be had, "" if it can. It does not judge
// Provider: what is missing there may be a fault of the code.
func (p Part) missing() string {
	switch p {
	case Redis:
		if _, err := exec.LookPath("redis-server"); err != nil {
			return "redis-server is not on the PATH (Debian: apt-get install redis-server)"
		}
	case Terraform:
		if _, err := findCLI(); err != nil {
			return err.Error()
		}
	case Docker:
		if err := pingDocker(); err != nil {
			return "no Docker daemon answers: " + err.Error()
		}
	case Acceptance:
		if os.Getenv("TF_ACC") == "" {
			return "TF_ACC is not set (make test sets it)"
		}
	case Dockerd:
		return missingPrograms("docker.io iptables iproute2", "dockerd", "containerd", "iptables", "ip", "unshare", "nsenter")
	case Podman:
		return missingPrograms("podman netavark aardvark-dns", "podman")
	case RQ:
		return missingPython("rq", "python3-rq")
	case Celery:
		return missingPython("celery, redis", "python3-celery python3-redis")
	case Dask:
		return missingPython("distributed", "python3-distributed")
	case Mmdebstrap:
		return missingPrograms("mmdebstrap", "mmdebstrap")
	case SSHD:
		return missingPrograms("openssh-server", sshdProgram)
	case Registry:
		if _, err := exec.LookPath("docker-registry"); err != nil {
			return "docker-registry is not on the PATH (Debian: apt-get install docker-registry)"
		}
	case Shell:
		if _, err := exec.LookPath("busybox"); err != nil {
			return "busybox is not on the PATH (Debian: apt-get install busybox-static)"
		}
	default:
		return fmt.Sprintf("testenv does not know part %d", p)
	}
	return ""
}

// missingPrograms are those that only root can use as the tests do.
func missingPrograms(packages string, names ...string) string {
	if os.Getuid() != 0 {
		return "starting " + names[0] + " needs root"
	}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return name + " is not on the PATH (Debian: apt-get install " + packages + ")"
		}
	}
	return ""
}

// Need skips the test, or fails it in CI (environment variable CI=true),
// unless the machine has everything of what.
func Need(t testing.TB, what ...Part) {
	t.Helper()
	for _, p := range what {
		if p == Provider {
			ProviderBinary(t)
		} else if why := p.missing(); why != "" {
			giveUp(t, why)
		}
	}
}

func giveUp(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test must run in CI, but %s", why)
	}
	t.Skipf("skipped: %s", why)
}

// CLI needs Terraform and gives its path: TF_ACC_TERRAFORM_PATH, else
// terraform or tofu on the PATH.
func CLI(t testing.TB) string {
	t.Helper()
	path, err := findCLI()
	if err != nil {
		giveUp(t, err.Error())
	}
	return path
}

func findCLI() (string, error) {
	if path := os.Getenv("TF_ACC_TERRAFORM_PATH"); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("TF_ACC_TERRAFORM_PATH is no program: %w", err)
		}
		return found, nil
	}
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("neither terraform nor tofu is on the PATH, and TF_ACC_TERRAFORM_PATH is not set")
}

// pingDocker asks the daemon itself where that takes no more than a socket,
// and otherwise (TLS, ssh) the docker program.
func pingDocker() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	network, address, _ := strings.Cut(host, "://")
	if (network != "unix" && network != "tcp") || os.Getenv("DOCKER_TLS_VERIFY") != "" {
		out, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").CombinedOutput()
		if err != nil {
			return fmt.Errorf("docker version: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", host, resp.Status)
	}
	return nil
}
