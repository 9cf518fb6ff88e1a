// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package testenv

import (
	"io"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// forward passes connections on from a port of 127.0.0.1 here to an address in
// another network namespace, and gives the port.
func forward(t testing.TB, namespace, address string) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go pass(from, namespace, address)
		}
	}()
	port, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no TCP address")
	}
	return port.Port
}

func pass(from net.Conn, namespace, address string) {
	defer func() { _ = from.Close() }()
	to, err := dialInside(namespace, address)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	done := make(chan struct{}, 2)
	copyTo := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if c, ok := to.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
		done <- struct{}{}
	}
	go copyTo(to, from)
	go copyTo(from, to)
	<-done
	<-done
}

// dialInside connects as a process in that network namespace does.
func dialInside(namespace, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread, which has moved, ends with this goroutine
		f, err := os.Open(namespace)
		if err != nil {
			results <- result{nil, err}
			return
		}
		defer func() { _ = f.Close() }()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			results <- result{nil, err}
			return
		}
		conn, err := net.Dial("tcp", address)
		results <- result{conn, err}
	}()
	r := <-results
	return r.conn, r.err
}
