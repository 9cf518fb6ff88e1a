// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// tunnelScript passes bytes between its own input and output and the port,
// with whatever program the image has for that. $1 is the port in hexadecimal,
// $2 in decimal. It begins with a line, so that a refusal is told from silence.
const tunnelScript = lookScript + `if command -v socat >/dev/null 2>&1; then echo ok; exec socat - "TCP:127.0.0.1:$2"; fi
if command -v nc >/dev/null 2>&1; then echo ok; exec nc 127.0.0.1 "$2"; fi
if command -v bash >/dev/null 2>&1 && command -v cat >/dev/null 2>&1; then
  exec bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 44; echo ok; cat <&3 & cat >&3; kill $! 2>/dev/null' bash "$2"
fi
for python in python3 python; do
  command -v "$python" >/dev/null 2>&1 || continue
  exec "$python" -c '
import os, socket, sys, threading
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
os.write(1, b"ok\n")
def up():
    while True:
        d = os.read(0, 65536)
        if not d: break
        s.sendall(d)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while True:
    d = s.recv(65536)
    if not d: break
    os.write(1, d)
' "$2"
done
exit 45
`

// execDial opens a connection through a program in the container.
func (b *Backend) execDial(ctx context.Context, h managed.Handle, port int) (net.Conn, error) {
	const doing = "connecting through a program in the container "
	made, err := b.docker.ExecCreate(ctx, string(h), client.ExecCreateOptions{
		AttachStdin: true, AttachStdout: true, AttachStderr: true,
		Cmd: []string{"sh", "-c", tunnelScript, "sh", fmt.Sprintf("%04X", port), fmt.Sprint(port)},
	})
	if err != nil {
		return nil, b.engine.Classify(err, doing+short(h))
	}
	// The connection outlives the call that makes it.
	attached, err := b.docker.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		if isNoShell(err.Error()) {
			return nil, noRoute("it has no shell")
		}
		return nil, b.engine.Classify(err, doing+short(h))
	}
	c := newExecConn(attached.HijackedResponse)
	stop := context.AfterFunc(ctx, attached.Close)
	line, err := c.out.ReadString('\n')
	if stop(); err == nil && line == "ok\n" {
		return c, nil
	}
	attached.Close()
	if ctx.Err() != nil {
		return nil, b.engine.Classify(context.Cause(ctx), doing+short(h))
	}
	res, err := b.docker.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err != nil {
		return nil, b.engine.Classify(err, doing+short(h))
	}
	switch res.ExitCode {
	case exitNotListening:
		return nil, managed.Errorf(managed.ClassTransient, "", "nothing in the container listens on port %d yet", port)
	case exitNoProgram:
		return nil, noRoute("its image has none of socat, nc, bash and python")
	}
	return nil, noRoute(strings.TrimSpace("it has no shell, or that failed: " + line))
}

func noRoute(why string) error {
	return managed.Errorf(managed.ClassTransient, "", "%w (%s)", managed.ErrNoRoute, why)
}

// execConn is a connection through the input and output of a program.
type execConn struct {
	client.HijackedResponse
	out *bufio.Reader
	in  *io.PipeReader
}

// newExecConn takes the two outputs apart, which come in one stream.
func newExecConn(h client.HijackedResponse) *execConn {
	r, w := io.Pipe()
	go func() { // ends with the connection
		_, err := stdcopy.StdCopy(w, io.Discard, h.Reader)
		if err == nil || errors.Is(err, net.ErrClosed) {
			err = io.EOF
		}
		_ = w.CloseWithError(err)
	}()
	return &execConn{HijackedResponse: h, in: r, out: bufio.NewReader(r)}
}

// Read implements net.Conn.
func (c *execConn) Read(p []byte) (int, error) { return c.out.Read(p) }

// Write implements net.Conn.
func (c *execConn) Write(p []byte) (int, error) { return c.Conn.Write(p) }

// Close implements net.Conn. The program ends with its input.
func (c *execConn) Close() error {
	_ = c.in.Close()
	return c.Conn.Close()
}

// LocalAddr implements net.Conn.
func (c *execConn) LocalAddr() net.Addr { return c.Conn.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *execConn) RemoteAddr() net.Addr { return c.Conn.RemoteAddr() }

// SetDeadline implements net.Conn. When it is over the connection is of no
// more use, because part of a frame may have been read.
func (c *execConn) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(t) }

// SetReadDeadline implements net.Conn, like SetDeadline.
func (c *execConn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *execConn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(t) }
