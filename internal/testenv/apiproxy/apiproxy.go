// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package apiproxy stands before an engine's socket. It counts calls by their
// kind, and can answer them itself. It does without package testing, because
// the benchmark is a program that uses it too.
package apiproxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Tally is what went through a proxy.
type Tally struct {
	// Calls by kind: "POST containers/one/start".
	Calls map[string]int
	// Bytes of the answers.
	Bytes int64
}

// Total is the number of all calls.
func (t Tally) Total() int {
	sum := 0
	for _, n := range t.Calls {
		sum += n
	}
	return sum
}

// Intercept sees each call before the engine does. It may change the request,
// or answer it.
type Intercept func(call string, w http.ResponseWriter, r *http.Request) Verdict

// Verdict is what becomes of a call.
type Verdict int

// The verdicts.
const (
	Forward  Verdict = iota
	Answered         // by the intercept itself
	Lose             // the engine gets it, but its answer never arrives
)

// Proxy is one at work.
type Proxy struct {
	// Host is its own socket, unix:///path.
	Host string

	server  *http.Server
	forward *httputil.ReverseProxy

	mu        sync.Mutex
	now       Tally
	intercept Intercept
}

// Start listens on a socket of its own, before the engine's; both are paths.
func Start(engine, socket string) (*Proxy, error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	p := &Proxy{Host: "unix://" + socket, now: Tally{Calls: map[string]int{}}}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker"
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", engine)
			},
			MaxIdleConnsPerHost: 64,
			DisableCompression:  true,
		},
		FlushInterval: -1, // some answers last
		ModifyResponse: func(r *http.Response) error {
			// A connection that becomes a stream has to stay what it is.
			if r.StatusCode != http.StatusSwitchingProtocols {
				r.Body = &countedBody{ReadCloser: r.Body, p: p}
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, context.Canceled) {
				panic(http.ErrAbortHandler) // the client sees a broken connection, as from the engine
			}
		},
	}
	p.server = &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(p.serve)}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Close ends it.
func (p *Proxy) Close() { _ = p.server.Close() }

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + kindOfCall(r.URL.Path)
	p.mu.Lock()
	p.now.Calls[call]++
	intercept := p.intercept
	p.mu.Unlock()
	verdict := Forward
	if intercept != nil {
		verdict = intercept(call, w, r)
	}
	switch verdict {
	case Forward:
		p.forward.ServeHTTP(w, r)
	case Lose:
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case Answered:
	}
}

// Intercept sets who sees the calls from now on; nil for nobody.
func (p *Proxy) Intercept(f Intercept) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.intercept = f
}

// Take gives what was counted since it was last asked.
func (p *Proxy) Take() Tally {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.now
	p.now = Tally{Calls: map[string]int{}}
	return was
}

type countedBody struct {
	io.ReadCloser
	p *Proxy
}

func (b *countedBody) Read(to []byte) (int, error) {
	n, err := b.ReadCloser.Read(to)
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	b.p.now.Bytes += int64(n)
	return n, err
}

// versionInPath is how a client says which API it speaks.
var versionInPath = regexp.MustCompile("^/v[0-9.]+/")

// kindOfCall leaves the version, names and ids out of a path:
// /v1.41/containers/0123/start is containers/one/start.
func kindOfCall(path string) string {
	path = versionInPath.ReplaceAllString(path, "/")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) < 2:
		return parts[0]
	case len(parts) == 2 && (parts[1] == "json" || parts[1] == "create"):
		return parts[0] + "/" + parts[1]
	case len(parts) == 2, parts[0] == "images" && parts[len(parts)-1] != "json": // an image's name has slashes of its own
		return parts[0] + "/one"
	}
	return parts[0] + "/one/" + parts[len(parts)-1]
}
