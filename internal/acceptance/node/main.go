// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Command node is the server or the worker of a test cluster: the server
// listens on its port, the worker stays connected to it. Both leave on SIGTERM.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if code := os.Getenv("NODE_EXIT"); code != "" {
		fmt.Println("node ends as it was told")
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	}
	switch role := os.Args[1]; role {
	case "server":
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", os.Getenv("DOCKERPARALLEL_SERVER_PORT")))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() { // until the other side goes
					_, _ = conn.Read(make([]byte, 1))
					_ = conn.Close()
				}()
			}
		}()
	case "worker":
		go connect(net.JoinHostPort(os.Getenv("DOCKERPARALLEL_SERVER_HOST"), os.Getenv("DOCKERPARALLEL_SERVER_PORT")))
	default:
		fmt.Fprintln(os.Stderr, "node: unknown role "+role)
		os.Exit(2)
	}
	<-stop
}

// connect keeps a connection to the server, as workers do.
func connect(address string) {
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
}
