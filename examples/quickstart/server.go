// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// serverCommand runs the server until it is told to stop.
func serverCommand(ctx context.Context, args []string, getenv func(string) string, _, stderr io.Writer) error {
	flags := newFlags("server", stderr)
	if err := parse(flags, args); err != nil {
		return err
	}

	port, password := getenv("DOCKERPARALLEL_SERVER_PORT"), getenv("DOCKERPARALLEL_SERVER_PASSWORD")
	host := getenv("DOCKERPARALLEL_SERVER_HOST") // for a server, the address to listen on: in a container 0.0.0.0
	if host == "" {
		host = "127.0.0.1"
	}
	if err := checkPort(port); err != nil {
		return err
	}
	if password == "" {
		return errors.New("refusing to run without a password: DOCKERPARALLEL_SERVER_PASSWORD is not set")
	}

	logger := newLogger(stderr, "server")
	s, err := startServer(net.JoinHostPort(host, port), password)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %s is in use by another program", port)
	}
	if err != nil {
		return err
	}
	logger.Printf("ready on %s", s.Addr())

	<-ctx.Done()
	logger.Print("stopping")
	return stopServer(s, logger)
}

// startServer starts an in-memory server that speaks the Redis protocol. A real Redis would do as well: nothing here
// uses more than lists, keys with a time to live, and transactions.
func startServer(addr, password string) (*miniredis.Miniredis, error) {
	s := miniredis.NewMiniRedis()
	s.RequireAuth(password)
	s.ClockTTL(true) // leases run out by the clock
	if err := s.StartAddr(addr); err != nil {
		return nil, err
	}
	return s, nil
}

// stopServer hangs up on everybody, within a bound.
func stopServer(s *miniredis.Miniredis, logger *log.Logger) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Close()
	}()

	select {
	case <-done:
		logger.Print("stopped")
		return nil
	case <-time.After(5 * time.Second):
		return errors.New("connections did not close within 5s")
	}
}
