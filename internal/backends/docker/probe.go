// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Dial implements [managed.Prober]. Terraform often runs where a container's
// network cannot be reached, so there are several ways, and each is taken only
// where it is sure to lead to this container:
//
//  1. directly, on the engine's own host, which is known by the interface of
//     the container's network;
//  2. through the SSH connection to that host;
//  3. through a program in the container that passes bytes on (exec);
//  4. by the published port.
func (b *Backend) Dial(ctx context.Context, h managed.Handle, port string) (net.Conn, error) {
	p, err := b.portOf(ctx, h, port)
	if err != nil {
		return nil, err
	}
	inner := p.address()
	if p.mode == "host" { // the loopback of the engine's host
		inner = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	target := net.JoinHostPort(inner.String(), strconv.Itoa(p.port))
	if inner.IsValid() && !b.far && p.mode != "host" && isHere(p) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", target)
		return conn, b.refused(err, target)
	}
	if inner.IsValid() && b.engine.Address().Scheme == "ssh" {
		conn, err := b.engine.DialHost(ctx, "tcp", target)
		if err == nil || isRefused(err) {
			return conn, b.refused(err, target)
		}
		b.log.DebugContext(ctx, "the SSH server opens no connection to the container", "target", target, "error", err)
	}
	conn, err := b.execDial(ctx, h, p.port)
	if err == nil || !errors.Is(err, managed.ErrNoRoute) {
		return conn, err
	}
	if p.mode == "host" && b.engine.Address().Scheme == "unix" && onLinux() && !inContainer() {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", target)
		return conn, b.refused(err, target)
	}
	if published, ok := b.publicAddress(p); ok {
		return dialPublished(ctx, published)
	}
	return nil, err
}

// portOf is where a running container has its port.
func (b *Backend) portOf(ctx context.Context, h managed.Handle, port string) (place, error) {
	c, err := b.mustRun(ctx, h)
	if err != nil {
		return place{}, err
	}
	if c == nil {
		return place{}, managed.Errorf(managed.ClassTransient, "", "the container %s has not started yet", short(h))
	}
	p := inspectedPlace(c).at(port)
	if p.port == 0 {
		return place{}, managed.Errorf(managed.ClassInvalid, "", "the container %s has no port %q", short(h), port)
	}
	return p, nil
}

// isHere tells whether this machine has the interface of a network that the
// container is in. Docker calls it after the network's random id; Podman's are
// known by their address.
func isHere(p place) bool {
	for _, n := range p.networks {
		if n == nil || len(n.NetworkID) < 12 || !n.IPAddress.IsValid() {
			continue
		}
		if _, err := net.InterfaceByName("br-" + n.NetworkID[:12]); err == nil {
			return true
		}
		if n.Gateway.IsValid() && hasPodmanInterface(n.Gateway) {
			return true
		}
	}
	return false
}

func hasPodmanInterface(gateway netip.Addr) bool {
	all, err := net.Interfaces()
	if err != nil {
		return false
	}
	for _, i := range all {
		if !strings.HasPrefix(i.Name, "podman") && !strings.HasPrefix(i.Name, "cni-podman") {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == gateway {
				return true
			}
		}
	}
	return false
}

// inContainer: its loopback is not that of the engine's host, even though the
// engine's socket is there.
func inContainer() bool {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}

// onLinux: elsewhere the engine is in a virtual machine, whose loopback is
// not ours.
func onLinux() bool {
	_, err := os.Stat("/proc/self/net/tcp")
	return err == nil
}

// refused classes the error of a connection: what is not there yet may come.
func (b *Backend) refused(err error, target string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return b.engine.Classify(err, "connecting to "+target)
	}
	return managed.Errorf(managed.ClassTransient, "", "connecting to %s: %w", target, err)
}

func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(strings.ToLower(err.Error()), "connection refused")
}

// publicAddress is where a published port is reached from here: not if it is
// published on the loopback of another machine.
func (b *Backend) publicAddress(p place) (string, bool) {
	if !p.public.IsValid() {
		return "", false
	}
	e, _ := b.endpoint(p)
	host := b.engine.Address().Host
	elsewhere := host != "" && host != "localhost" && !strings.HasPrefix(host, "127.")
	if p.public.Addr().IsLoopback() && (elsewhere || inContainer()) {
		return "", false
	}
	return net.JoinHostPort(e.PublicIP, strconv.Itoa(e.PublicPort)), true
}

// proxyTime is how long the engine's proxy may take to find out that nobody
// listens behind a published port; it has accepted the connection before.
const proxyTime = 300 * time.Millisecond

// dialPublished takes only a connection that outlives the engine's own proxy.
func dialPublished(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, managed.Errorf(managed.ClassTransient, "", "connecting to the published port: %w", err)
	}
	first := make([]byte, 1)
	_ = conn.SetReadDeadline(time.Now().Add(proxyTime))
	n, err := conn.Read(first)
	_ = conn.SetReadDeadline(time.Time{})
	var timeout net.Error
	if err != nil && (!errors.As(err, &timeout) || !timeout.Timeout()) {
		_ = conn.Close()
		return nil, managed.Errorf(managed.ClassTransient, "", "nobody listens behind the published port %s yet: %w", address, err)
	}
	return &prefixed{Conn: conn, prefix: bytes.NewReader(first[:n])}, nil
}

// prefixed gives back what was read in advance.
type prefixed struct {
	net.Conn
	prefix *bytes.Reader
}

func (c *prefixed) Read(p []byte) (int, error) {
	if c.prefix.Len() > 0 {
		return c.prefix.Read(p)
	}
	return c.Conn.Read(p)
}

// lookScript looks for a listening socket in the kernel's own tables, by means
// of the shell alone. $1 is the port in hexadecimal; state 0A is LISTEN.
const lookScript = `listens() {
  for f in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$f" ] || continue
    while read -r _ local _ state _; do
      case "$local/$state" in *":$1/0A") return 0;; esac
    done <"$f"
  done
  return 1
}
listens "$1" || exit 44
`

// The exit codes of our scripts that are no shell's own.
const (
	exitNotListening = 44
	exitNoProgram    = 45
)

// Listens implements [managed.Prober].
func (b *Backend) Listens(ctx context.Context, h managed.Handle, port string) error {
	p, err := b.portOf(ctx, h, port)
	if err != nil {
		return err
	}
	code, said, err := b.execScript(ctx, h, lookScript, fmt.Sprintf("%04X", p.port))
	switch {
	case err != nil:
		return err
	case code == 0:
		return nil
	case code == exitNotListening:
		return managed.Errorf(managed.ClassTransient, "", "nothing in the container listens on port %d yet", p.port)
	}
	return managed.Errorf(managed.ClassInvalid, "docker.health_check", "there is no way to tell whether the server answers: its network cannot be reached from here, "+
		"and its image has no shell to look from inside (exit code %d %s). Give the server a docker.health_check, or publish its port where Terraform can reach it", code, said)
}

// execScript runs a shell script in a container.
func (b *Backend) execScript(ctx context.Context, h managed.Handle, script string, args ...string) (code int, said string, err error) {
	const doing = "looking into the container "
	made, err := b.docker.ExecCreate(ctx, string(h), client.ExecCreateOptions{
		AttachStdout: true, AttachStderr: true, Cmd: append([]string{"sh", "-c", script, "sh"}, args...),
	})
	if err != nil {
		return 0, "", b.engine.Classify(err, doing+short(h))
	}
	attached, err := b.docker.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		if isNoShell(err.Error()) {
			return 127, err.Error(), nil
		}
		return 0, "", b.engine.Classify(err, doing+short(h))
	}
	stop := context.AfterFunc(ctx, attached.Close)
	defer stop()
	defer attached.Close()
	var out bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &out, io.LimitReader(attached.Reader, 1<<16))
	if err != nil {
		return 0, "", b.engine.Classify(errors.Join(context.Cause(ctx), err), doing+short(h))
	}
	res, err := b.docker.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err != nil {
		return 0, "", b.engine.Classify(err, doing+short(h))
	}
	if res.ExitCode == 0 && isNoShell(out.String()) { // Podman tells it on stderr only
		return 127, firstLine(out.String()), nil
	}
	return res.ExitCode, firstLine(out.String()), nil
}

func isNoShell(text string) bool {
	return strings.Contains(text, "executable file not found") || strings.Contains(text, "OCI runtime") && strings.Contains(text, "no such file")
}
