// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package telemetry

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

func TestNothingIsSentUnlessAsked(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing set": {},
		"none":        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
		"disabled":    {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
	} {
		if asked(func(k string) string { return env[k] }) {
			t.Errorf("%s: traces are on", name)
		}
	}
	if !asked(func(k string) string { return map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}[k] }) {
		t.Error("an endpoint for traces turns them on")
	}
}

func TestSpansReachTheEndpointUnderTheParent(t *testing.T) {
	var mu sync.Mutex
	var got bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/v1/traces" {
			_, _ = io.Copy(&got, r.Body)
		}
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	tel, err := Start(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracer().Start(t.Context(), "backend.run")
	if id := span.SpanContext().TraceID().String(); id != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace %s is not the one of TRACEPARENT", id)
	}
	span.End()
	if err := tel.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"backend.run", "terraform-provider-dockerparallel"} {
		if !bytes.Contains(got.Bytes(), []byte(want)) {
			t.Errorf("%q did not reach the endpoint", want)
		}
	}
}

func TestConsoleIsRefused(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	if _, err := Start(t.Context(), "test"); err == nil {
		t.Error("the console exporter would break Terraform's handshake")
	}
}
