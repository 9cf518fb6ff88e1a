// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// httpAnswerTime is how long a server may take for one answer, whatever the
// context says: the core asks again anyway.
const httpAnswerTime = 10 * time.Second

// httpServer is the HTTP API of a framework's server, on one of its ports.
type httpServer struct {
	dial managed.DialFunc
	port string
	// what it is, for messages: "the Ray head".
	what string
	// token to show, "" for none.
	token managed.Secret
	// status says what an answer that is not OK means; nil: unless it refuses
	// the password, that another program uses the port.
	status func(*http.Response) error
}

// get asks once and reads the answer, which is JSON, into out; nil drops it.
func (s httpServer) get(ctx context.Context, path string, out any) error {
	return s.send(ctx, http.MethodGet, path, nil, out)
}

// post is get with something to say, as JSON.
func (s httpServer) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return s.send(ctx, http.MethodPost, path, body, out)
}

func (s httpServer) send(ctx context.Context, method, path string, body []byte, out any) error {
	bounded, cancel := context.WithTimeout(ctx, httpAnswerTime)
	defer cancel()
	// The host is only for the header: the connection is dial's.
	req, err := http.NewRequestWithContext(bounded, method, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token.Reveal())
	}
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx, s.port) },
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req) // and no redirects
	if err != nil {
		return s.failed(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusOK:
	case s.status != nil:
		return s.status(resp)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return managed.Errorf(managed.ClassPermission, "", "%s refuses the cluster's password (%s)", s.what, resp.Status)
	default:
		return s.otherProgram(resp)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(out)
	}
	if err != nil {
		return s.failed(ctx, fmt.Errorf("reading the answer to %s: %w", path, err))
	}
	return nil
}

func (s httpServer) otherProgram(resp *http.Response) error {
	return managed.Errorf(managed.ClassTransient, "", "%s answers %s on its port %q: does another program use that port?", s.what, resp.Status, s.port)
}

// listens tells whether somebody listens on the server's main port.
func (s httpServer) listens(ctx context.Context) error {
	conn, err := s.dial(ctx, managed.PortMain)
	if err != nil {
		return s.failed(ctx, err)
	}
	_ = conn.Close()
	return nil
}

func (s httpServer) failed(ctx context.Context, err error) error {
	return unanswered(ctx, fmt.Errorf("asking %s: %w", s.what, err))
}

// unanswered gives an error its class. What is not final is transient: a server
// that does not listen yet, or is busy, will answer later.
func unanswered(ctx context.Context, err error) error {
	class := managed.ClassTransient
	var known *managed.Error
	switch {
	case ctx.Err() != nil:
		class = managed.ClassOf(ctx.Err())
		err = fmt.Errorf("%w: %w", err, ctx.Err())
	case errors.As(err, &known):
		class = known.Class
	}
	return &managed.Error{Class: class, Err: err}
}
