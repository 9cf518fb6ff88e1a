// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

func TestCountRedisWorkers(t *testing.T) {
	const pool = "dockerparallel:ns:sim:big"
	line := func(name string) string {
		return "id=3 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=" + name + " age=0 idle=0 cmd=ping user=default lib-name= lib-ver=\n"
	}
	for _, c := range []struct {
		what  string
		names []string
		want  int
	}{
		{"nobody", nil, 0},
		{"unnamed connections", []string{"", ""}, 0},
		{"each connection with the plain name", []string{pool, pool, pool}, 3},
		{"distinct suffixes", []string{pool + ":a", pool + ":a", pool + ":b"}, 2},
		{"a suffix with a colon", []string{pool + ":a:1", pool + ":a:2"}, 2},
		{"both", []string{pool, pool + ":a", pool, pool + ":a"}, 3},
		{"other pools, clusters and namespaces", []string{
			pool + "ger", "dockerparallel:ns:sim:bi", "dockerparallel:ns:sim", "dockerparallel:ns:other:big", "dockerparallel:x:sim:big", "x" + pool,
		}, 0},
		{"case matters", []string{strings.ToUpper(pool)}, 0},
	} {
		var list strings.Builder
		for _, name := range c.names {
			list.WriteString(line(name))
		}
		if got := countRedisWorkers(list.String(), pool); got != c.want {
			t.Errorf("%s: %d workers, want %d", c.what, got, c.want)
		}
	}
	// A field that only ends like the name's is no name.
	if got := countRedisWorkers("id=1 lib-name="+pool+" name= age=1\n", pool); got != 0 {
		t.Errorf("lib-name counts as %d workers", got)
	}
}

func TestProbeClasses(t *testing.T) {
	const hello = "HELLO"
	for _, c := range []struct {
		what    string
		replies map[string]string
		want    managed.Class
	}{
		{"an answer", map[string]string{hello: "*0", "PING": "+PONG"}, ""},
		{"an old server's answer", map[string]string{hello: "-ERR unknown command 'HELLO'", "AUTH": "+OK", "PING": "+PONG"}, ""},
		{"the wrong password", map[string]string{
			hello:  "-WRONGPASS invalid username-password pair or user is disabled.",
			"AUTH": "-WRONGPASS invalid username-password pair or user is disabled.",
		}, managed.ClassPermission},
		{"an old server and the wrong password", map[string]string{hello: "-ERR unknown command 'HELLO'", "AUTH": "-ERR invalid password"}, managed.ClassPermission},
		{"an old server without a password", map[string]string{hello: "-ERR unknown command 'HELLO'", "AUTH": "-ERR Client sent AUTH, but no password is set"}, managed.ClassPermission},
		{"no right to ask", map[string]string{hello: "*0", "PING": "-NOPERM this user has no permissions to run the 'ping' command"}, managed.ClassPermission},
		{"protected mode", map[string]string{hello: "-DENIED Redis is running in protected mode", "AUTH": "-DENIED Redis is running in protected mode"}, managed.ClassPermission},
		{"loading", map[string]string{hello: "*0", "PING": "-LOADING Redis is loading the dataset in memory"}, managed.ClassTransient},
		{"too many clients", map[string]string{hello: "-ERR max number of clients reached", "AUTH": "-ERR max number of clients reached"}, managed.ClassTransient},
		{"busy", map[string]string{hello: "*0", "PING": "-BUSY Redis is busy running a script"}, managed.ClassTransient},
		{"a lost connection", map[string]string{hello: "*0", "PING": ""}, managed.ClassTransient},
		{"something that is no redis", map[string]string{hello: "HTTP/1.1 400 Bad Request"}, managed.ClassTransient},
	} {
		t.Run(c.what, func(t *testing.T) {
			var dials atomic.Int32
			err := redisQueue{}.ProbeServer(t.Context(), fakeRedis(t, &dials, c.replies), serverFacts)
			if got := managed.ClassOf(err); got != c.want {
				t.Errorf("class %q, want %q: %v", got, c.want, err)
			}
			if err != nil && strings.Contains(err.Error(), nastyPassword) {
				t.Errorf("the error holds the password: %v", err)
			}
			if n := dials.Load(); n != 1 {
				t.Errorf("dialled %d times", n)
			}
		})
	}
}

func TestProbeKeepsTheClassOfTheDial(t *testing.T) {
	dials := 0
	dial := func(context.Context, string) (net.Conn, error) {
		dials++
		return nil, managed.Errorf(managed.ClassPermission, "", "not you")
	}
	if err := (redisQueue{}).ProbeServer(t.Context(), dial, serverFacts); managed.ClassOf(err) != managed.ClassPermission {
		t.Errorf("%v is of class %q", err, managed.ClassOf(err))
	}
	dial = func(context.Context, string) (net.Conn, error) {
		dials++
		return nil, errors.New("connection refused")
	}
	if _, err := (redisQueue{}).RegisteredWorkers(t.Context(), dial, workerFacts); managed.ClassOf(err) != managed.ClassTransient {
		t.Errorf("%v is of class %q", err, managed.ClassOf(err))
	}
	if dials != 2 {
		t.Errorf("dialled %d times for two calls", dials)
	}
}

// TestProbeDoesNotHang: a server that accepts and then says nothing, and one
// that stops in the middle, hold nobody for longer than their context.
func TestProbeDoesNotHang(t *testing.T) {
	silent := func(context.Context, string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { _ = there.Close() })
		go func() { _, _ = io.Copy(io.Discard, there) }()
		return here, nil
	}
	for what, c := range map[string]struct {
		dial  managed.DialFunc
		ctx   func() (context.Context, context.CancelFunc)
		class managed.Class
	}{
		"deadline": {silent, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 50*time.Millisecond)
		}, managed.ClassDeadline},
		"cancel": {silent, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}, managed.ClassCanceled},
		"cancelled before": {silent, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx, cancel
		}, managed.ClassCanceled},
	} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := c.ctx()
			defer cancel()
			start := time.Now()
			err := redisQueue{}.ProbeServer(ctx, c.dial, serverFacts)
			if got := managed.ClassOf(err); got != c.class {
				t.Errorf("class %q, want %q: %v", got, c.class, err)
			}
			<-ctx.Done() // its timer may be a moment behind the connection's
			if !errors.Is(err, ctx.Err()) {
				t.Errorf("%v is not %v", err, ctx.Err())
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestProbeLeavesNothingBehind(t *testing.T) {
	var open atomic.Int32
	replies := map[string]string{"HELLO": "*0", "PING": "+PONG", "CLIENT": "$0\r\n"}
	var dials atomic.Int32
	inner := fakeRedis(t, &dials, replies)
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := inner(ctx, managed.PortMain)
		if err == nil {
			open.Add(1)
			conn = &countedConn{Conn: conn, open: &open}
		}
		return conn, err
	}
	before := runtime.NumGoroutine()
	for range 20 {
		if err := (redisQueue{}).ProbeServer(t.Context(), dial, serverFacts); err != nil {
			t.Fatal(err)
		}
		if _, err := (redisQueue{}).RegisteredWorkers(t.Context(), dial, workerFacts); err != nil {
			t.Fatal(err)
		}
		if n := open.Load(); n != 0 {
			t.Fatalf("%d connections are open after a call", n)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

// countedConn counts itself out when it is first closed.
type countedConn struct {
	net.Conn
	open   *atomic.Int32
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// fakeRedis answers each command with a reply as it goes over the wire, by the
// command's name. "" closes the connection, as does a command without a reply.
func fakeRedis(t *testing.T, dials *atomic.Int32, replies map[string]string) managed.DialFunc {
	t.Helper()
	return func(context.Context, string) (net.Conn, error) {
		dials.Add(1)
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			r := bufio.NewReader(there)
			for {
				args, err := readCommand(r)
				if err != nil {
					return
				}
				reply := replies[strings.ToUpper(args[0])]
				if reply == "" {
					return
				}
				if _, err := fmt.Fprintf(there, "%s\r\n", reply); err != nil {
					return
				}
			}
		}()
		return here, nil
	}
}

// readCommand reads an array of bulk strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readCount(r, "*")
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := readCount(r, "$")
		if err != nil {
			return nil, err
		}
		data := make([]byte, size+2)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		args[i] = string(data[:size])
	}
	return args, nil
}

func readCount(r *bufio.Reader, mark string) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), mark))
}
