// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// redisAnswerTime is how long a server may take for one answer, whatever the
// context says: the core asks again anyway.
const redisAnswerTime = 5 * time.Second

// ProbeServer implements managed.ServerProber with a PING.
func (redisQueue) ProbeServer(ctx context.Context, dial managed.DialFunc, f managed.Facts) error {
	return withRedis(ctx, dial, f.Password, func(c *redis.Client) error {
		return c.Ping(ctx).Err()
	})
}

// RegisteredWorkers implements managed.WorkerLister. A worker is a connection
// with the name that the worker's container finds in
// DOCKERPARALLEL_CLIENT_NAME: each such connection counts as one. A worker that
// opens several connections appends ":" and something of its own to the name;
// all connections with the same name then count as one.
func (redisQueue) RegisteredWorkers(ctx context.Context, dial managed.DialFunc, f managed.Facts) ([]managed.RegisteredWorker, error) {
	var list string
	err := withRedis(ctx, dial, f.Password, func(c *redis.Client) (err error) {
		list, err = c.ClientList(ctx).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	return make([]managed.RegisteredWorker, countRedisWorkers(list, redisPoolName(f))), nil
}

// countRedisWorkers counts in the answer to CLIENT LIST, which has a line of
// space-separated key=value fields for each connection.
func countRedisWorkers(list, pool string) int {
	n := 0
	named := map[string]bool{}
	for line := range strings.Lines(list) {
		for field := range strings.FieldsSeq(line) {
			name, ok := strings.CutPrefix(field, "name=")
			if !ok {
				continue
			}
			if name == pool {
				n++
			} else if worker, ok := strings.CutPrefix(name, pool+":"); ok {
				named[worker] = true
			}
			break
		}
	}
	return n + len(named)
}

// withRedis calls do with a client on one connection, which is closed when
// withRedis returns, or as soon as ctx is done. Nothing is tried again in
// here, and nothing is left behind.
func withRedis(ctx context.Context, dial managed.DialFunc, password managed.Secret, do func(*redis.Client) error) error {
	// Dialled here and not by the client, which would dial several times and
	// might lose the class of the error.
	conn, err := dial(ctx, managed.PortMain)
	if err != nil {
		return redisError(ctx, fmt.Errorf("connecting to the redis server: %w", err))
	}
	defer conn.Close()
	// The client looks at the deadline of a context only, so a cancel has to
	// take the connection away.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	once := make(chan net.Conn, 1)
	once <- conn
	client := redis.NewClient(&redis.Options{
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			select {
			case c := <-once:
				return c, nil
			default:
				return nil, errors.New("the connection was lost")
			}
		},
		Password:                 password.Reveal(),
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		MaxRetries:               -1,
		DialerRetries:            1,
		PoolSize:                 1,
		PipelinePoolSize:         -1, // no second pool: there is one connection
		ReadTimeout:              redisAnswerTime,
		WriteTimeout:             redisAnswerTime,
		ContextTimeoutEnabled:    true,
	})
	defer client.Close()
	if err := do(client); err != nil {
		return redisError(ctx, fmt.Errorf("asking the redis server: %w", err))
	}
	return nil
}

// redisError gives an error its class. What is not final is transient: a
// server that loads its data, is busy or does not listen yet will answer later.
func redisError(ctx context.Context, err error) error {
	class := managed.ClassTransient
	var known *managed.Error
	ended := ctx.Err()
	if deadline, ok := ctx.Deadline(); ok && ended == nil && !time.Now().Before(deadline) {
		ended = context.DeadlineExceeded // the connection's own timer was quicker than the context's
	}
	switch {
	case ended != nil:
		// Otherwise it would be the closed connection's error, or a timeout.
		class = managed.ClassOf(ended)
		err = fmt.Errorf("%w: %w", err, ended)
	case errors.As(err, &known):
		class = known.Class
	case redisRefuses(err):
		class = managed.ClassPermission
	}
	return &managed.Error{Class: class, Err: err}
}

// redisRefuses tells whether an error says that this client, with this
// password, will never be let in.
func redisRefuses(err error) bool {
	if redis.IsAuthError(err) || redis.IsPermissionError(err) {
		return true
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	text := reply.Error()
	return strings.HasPrefix(text, "DENIED ") || // protected mode: a server without a password
		strings.HasPrefix(text, "ERR invalid password") || // redis 5 and older
		strings.HasPrefix(text, "ERR Client sent AUTH, but no password is set") // likewise
}
