// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// Plain is a framework with a password that can neither probe nor count.
type Plain struct{}

var _ managed.Framework = Plain{}

// Name implements [managed.Framework].
func (Plain) Name() string { return "plain" }

// Defaults implements [managed.Framework].
func (Plain) Defaults(managed.Role) managed.Defaults { return managed.Defaults{MaxWorkers: 1} }

// HasPassword implements [managed.Framework].
func (Plain) HasPassword() bool { return true }

// URL implements [managed.Framework].
func (Plain) URL(host string, port int, password managed.Secret) string {
	user := ""
	if password != "" {
		user = ":" + password.Reveal() + "@"
	}
	return "plain://" + user + net.JoinHostPort(host, strconv.Itoa(port))
}

// Environment implements [managed.Framework].
func (Plain) Environment(managed.Role, managed.Facts) managed.Environment {
	return managed.Environment{}
}

// Client implements [managed.Framework].
func (p Plain) Client(f managed.ClientFacts) managed.Client {
	return managed.Client{URL: p.URL(f.Host, f.Port, "")}
}

// Counting is a framework whose server can be probed and counts its workers,
// as servers in a [Memory] do.
type Counting struct{ Plain }

var (
	_ managed.ServerProber = Counting{}
	_ managed.WorkerLister = Counting{}
)

// ProbeServer implements [managed.ServerProber].
func (c Counting) ProbeServer(ctx context.Context, dial managed.DialFunc, f managed.Facts) error {
	_, err := c.RegisteredWorkers(ctx, dial, f)
	return err
}

// RegisteredWorkers implements [managed.WorkerLister]. The workers do not name
// their containers.
func (Counting) RegisteredWorkers(ctx context.Context, dial managed.DialFunc, f managed.Facts) ([]managed.RegisteredWorker, error) {
	conn, err := dial(ctx, managed.PortMain)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := fmt.Fprintf(conn, "count %s\n", f.Pool); err != nil {
		return nil, managed.Errorf(managed.ClassTransient, "", "asking the server: %w", err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return nil, managed.Errorf(managed.ClassTransient, "", "reading the server's answer: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return nil, managed.Errorf(managed.ClassInvalid, "", "the server answered %q", line)
	}
	return make([]managed.RegisteredWorker, n), nil
}
