// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Command node is the server or a worker container of a test cluster. It is
// one static program, so that it can be all there is in an image.
//
//	node server    listens on its port and counts the workers that connect
//	node worker    stays connected to the server, once for each of its workers
//	node exit N    says so and ends with code N
//
// Server and workers leave on SIGTERM.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if code := os.Getenv("NODE_EXIT"); code != "" {
		end(code)
	}
	address := net.JoinHostPort(os.Getenv("DOCKERPARALLEL_SERVER_HOST"), os.Getenv("DOCKERPARALLEL_SERVER_PORT"))
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch {
	case role == "server":
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(listener)
	case role == "worker":
		workers, _ := strconv.Atoi(os.Getenv("DOCKERPARALLEL_WORKERS"))
		for range max(1, workers) {
			go work(address)
		}
	case role == "exit" && len(os.Args) > 2:
		end(os.Args[2])
	default:
		fmt.Fprintln(os.Stderr, "node: unknown role "+role)
		os.Exit(2)
	}
	<-stop
}

func end(code string) {
	fmt.Println("node ends as it was told")
	n, _ := strconv.Atoi(code)
	os.Exit(n)
}

// serve answers "count POOL" with the number of those who said "work POOL"
// and are still connected.
func serve(listener net.Listener) {
	var mu sync.Mutex
	workers := map[string]int{}
	change := func(pool string, by int) int {
		mu.Lock()
		defer mu.Unlock()
		workers[pool] += by
		return workers[pool]
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			in := bufio.NewReader(conn)
			line, _ := in.ReadString('\n')
			verb, pool, _ := strings.Cut(strings.TrimSpace(line), " ")
			if verb == "count" {
				_, _ = fmt.Fprintln(conn, change(pool, 0))
				return
			}
			change(pool, 1)
			_, _ = in.ReadByte() // until the worker goes
			change(pool, -1)
		}()
	}
}

// work keeps a connection to the server, whether there is one or not.
func work(address string) {
	// A server whose machine or network is gone does not say goodbye.
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}}
	for {
		if conn, err := dialer.Dial("tcp", address); err == nil {
			_, _ = fmt.Fprintln(conn, "work "+os.Getenv("DOCKERPARALLEL_POOL"))
			_, _ = conn.Read(make([]byte, 1)) // until the server goes
			_ = conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
}
