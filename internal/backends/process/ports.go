// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// localhost is where servers are reached: the workers are here too.
const localhost = "127.0.0.1"

func localEndpoint(port int) managed.Endpoint {
	return managed.Endpoint{PrivateIP: localhost, PrivatePort: port}
}

func localAddress(port int) string { return net.JoinHostPort(localhost, strconv.Itoa(port)) }

// Endpoint implements [managed.Endpointer].
func (b *Backend) Endpoint(ctx context.Context, h managed.Handle, port string) (managed.Endpoint, error) {
	for {
		if err := ended(ctx, "waiting for a server process"); err != nil {
			return managed.Endpoint{}, err
		}
		e, err := b.findOne(h)
		if err != nil {
			return managed.Endpoint{}, err
		}
		number, err := e.port(port)
		if err != nil {
			return managed.Endpoint{}, err
		}
		observed, err := b.observe(ctx, []*entry{e})
		if err != nil {
			return managed.Endpoint{}, err
		}
		switch o := observed[0]; {
		case !o.Known:
			return managed.Endpoint{}, managed.Errorf(managed.ClassNotFound, "", "the process %s was removed", h)
		case o.Status == managed.StatusRunning:
			return localEndpoint(number), nil
		case o.Status == managed.StatusStopped:
			return managed.Endpoint{}, managed.Errorf(managed.ClassUnknown, "", "the process %s has stopped: %s", h, o.Reason)
		}
		pause(ctx, b.Properties().PollInterval)
	}
}

func (e *entry) port(name string) (int, error) {
	if number, ok := e.rec.Ports[name]; ok {
		return number, nil
	}
	return 0, managed.Errorf(managed.ClassNotFound, "", "the process %s has no port %q", e.handle(), name)
}

// Dial implements [managed.Prober].
func (b *Backend) Dial(ctx context.Context, h managed.Handle, port string) (net.Conn, error) {
	e, err := b.findOne(h)
	if err != nil {
		return nil, err
	}
	number, err := e.port(port)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", localAddress(number))
	if err == nil {
		return conn, nil
	}
	if ctxErr := ended(ctx, "connecting to "+localAddress(number)); ctxErr != nil {
		return nil, ctxErr
	}
	return nil, managed.Errorf(managed.ClassTransient, "", "connecting to a server process: %w", err)
}

// Listens implements [managed.Prober]. Dial always has a route, so this is
// not asked.
func (b *Backend) Listens(ctx context.Context, h managed.Handle, port string) error {
	conn, err := b.Dial(ctx, h, port)
	if err != nil {
		return err
	}
	return conn.Close()
}

// recentPorts are ports that were handed out and may not be listened on yet.
type recentPorts struct {
	mu    sync.Mutex
	until map[int]time.Time
}

// claim is false if the port was handed out within the last minute.
func (r *recentPorts) claim(port int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for p, until := range r.until {
		if now.After(until) {
			delete(r.until, p)
		}
	}
	if _, taken := r.until[port]; taken {
		return false
	}
	if r.until == nil {
		r.until = map[int]time.Time{}
	}
	r.until[port] = now.Add(time.Minute)
	return true
}

// FreePort implements [managed.PortPicker].
func (b *Backend) FreePort(ctx context.Context) (int, error) {
	for range attempts {
		if err := ended(ctx, "finding a free port"); err != nil {
			return 0, err
		}
		l, err := net.Listen("tcp", localAddress(0))
		if err != nil {
			return 0, managed.Errorf(managed.ClassCapacity, "port", "finding a free port: %w", err)
		}
		addr, ok := l.Addr().(*net.TCPAddr)
		_ = l.Close()
		if ok && b.ports.claim(addr.Port) {
			return addr.Port, nil
		}
	}
	return 0, managed.Errorf(managed.ClassCapacity, "port", "finding a free port: there is none that was not handed out just now")
}

// checkPort is an error if something listens on a port.
func (b *Backend) checkPort(port int) error {
	l, err := net.Listen("tcp", localAddress(port))
	if err == nil {
		_ = l.Close()
		// Elsewhere than on Linux one may listen on an address whose port
		// another has on all addresses.
		if runtime.GOOS == "linux" {
			return nil
		}
		conn, err := net.DialTimeout("tcp", localAddress(port), time.Second)
		if err != nil {
			return nil //nolint:nilerr // no one answers: it is free
		}
		_ = conn.Close()
	}
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		class := managed.ClassUnknown
		if errors.Is(err, syscall.EACCES) {
			class = managed.ClassPermission
		}
		return managed.Errorf(class, "port", "port %d cannot be used: %w", port, err)
	}
	by := ""
	if holder := b.table.portHolder(port); holder != "" {
		by = " by " + holder
	}
	return managed.Errorf(managed.ClassConflict, "port",
		"port %d of this machine is taken%s; stop what holds it, or choose another port (0 finds a free one)", port, by)
}
