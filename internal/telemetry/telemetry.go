// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

// Package telemetry sends the spans of backend calls to where OpenTelemetry's
// standard environment variables say, and nowhere if they say nothing.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// flushTime bounds how long the end of the process waits for an exporter.
const flushTime = 5 * time.Second

// Telemetry makes spans. The zero value is not useful; see Start.
type Telemetry struct {
	provider trace.TracerProvider
	parent   trace.SpanContext
	stop     func(context.Context) error
}

// asked tells whether the environment wants traces to go somewhere. Without
// this look the exporter library would try an OTLP endpoint on localhost.
func asked(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return getenv("OTEL_TRACES_EXPORTER") != "" || getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Start reads the environment. Spans become children of the one that the
// variable TRACEPARENT names, if it is set. The console exporter is refused: a
// provider's standard output belongs to Terraform.
func Start(ctx context.Context, version string) (*Telemetry, error) {
	if !asked(os.Getenv) {
		return &Telemetry{provider: noop.NewTracerProvider(), stop: func(context.Context) error { return nil }}, nil
	}
	if os.Getenv("OTEL_TRACES_EXPORTER") == "console" {
		return nil, errors.New("OTEL_TRACES_EXPORTER=console is not possible in a Terraform provider: use otlp")
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("setting up the trace exporter that the OTEL_ variables name: %w", err)
	}
	self := resource.NewSchemaless(
		attribute.String("service.name", "terraform-provider-dockerparallel"),
		attribute.String("service.version", version),
	)
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
	if self, err = resource.Merge(self, resource.Environment()); err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(self))
	carrier := propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE")}
	parent := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, carrier))
	return &Telemetry{provider: provider, parent: parent, stop: provider.Shutdown}, nil
}

// Tracer makes the spans of backend calls.
func (t *Telemetry) Tracer() trace.Tracer {
	inner := t.provider.Tracer("github.com/dockerparallel/terraform-provider-dockerparallel")
	if !t.parent.IsValid() {
		return inner
	}
	return childTracer{Tracer: inner, parent: t.parent}
}

// Stop sends what is left. Call it at the end of the process.
func (t *Telemetry) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	return t.stop(ctx)
}

// childTracer makes spans without a parent of their own children of the span
// that started the process.
type childTracer struct {
	trace.Tracer
	parent trace.SpanContext
}

func (t childTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, t.parent)
	}
	return t.Tracer.Start(ctx, name, opts...)
}
