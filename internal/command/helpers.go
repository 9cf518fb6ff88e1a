// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package command

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// The hidden commands are the server and the worker of the conformance suite
// on backends that can run this program.

func servePortCommand() command {
	return command{
		name:    "serve-port",
		summary: "listen on $" + managed.EnvServerPort + " until stopped",
		detail:  "The server of the conformance suite: it accepts connections and closes them.",
		hidden:  true,
		flags: func(*flag.FlagSet) func(context.Context, streams, string) error {
			return func(ctx context.Context, s streams, _ string) error {
				address := net.JoinHostPort(os.Getenv(managed.EnvServerHost), os.Getenv(managed.EnvServerPort))
				l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
				if err != nil {
					return fmt.Errorf("listening at $%s: %w", managed.EnvServerPort, err)
				}
				context.AfterFunc(ctx, func() { l.Close() })
				fmt.Fprintf(s.out, "listening at %s\n", l.Addr())
				for {
					c, err := l.Accept()
					switch {
					case err == nil:
						c.Close()
					case ctx.Err() != nil:
						return nil //nolint:nilerr // we were stopped, which closes the listener
					default:
						return fmt.Errorf("accepting connections: %w", err)
					}
				}
			}
		},
	}
}

func sleepCommand() command {
	return command{
		name:    "sleep",
		summary: "do nothing until stopped",
		detail:  "The worker of the conformance suite.",
		hidden:  true,
		flags: func(*flag.FlagSet) func(context.Context, streams, string) error {
			return func(ctx context.Context, _ streams, _ string) error {
				<-ctx.Done()
				return nil
			}
		},
	}
}
