// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Trace makes a span and a structured log line of every call: backend, verb,
// scope, count, duration and error class. It shows no container spec and no
// secret.
func Trace(tracer trace.Tracer, log *slog.Logger) Interceptor {
	return func(ctx context.Context, call *Call, next func(context.Context) error) error {
		attributes := []attribute.KeyValue{
			attribute.String("dockerparallel.backend", call.Backend),
			attribute.String("dockerparallel.namespace", call.Scope.Namespace),
			attribute.String("dockerparallel.cluster", call.Scope.Cluster),
			attribute.String("dockerparallel.pool", call.Scope.Pool),
			attribute.Int("dockerparallel.count", call.Count),
		}
		ctx, span := tracer.Start(ctx, "backend."+call.Verb, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
		defer span.End()
		begun := time.Now()
		err := next(ctx)
		args := []any{
			"backend", call.Backend, "verb", call.Verb, "count", call.Count,
			"duration_ms", float64(time.Since(begun).Microseconds()) / 1000,
		}
		if call.Scope.Cluster != "" {
			args = append(args, "namespace", call.Scope.Namespace, "cluster", call.Scope.Cluster)
		}
		if call.Scope.Pool != "" {
			args = append(args, "pool", call.Scope.Pool)
		}
		if err != nil {
			class := string(ClassOf(err))
			args = append(args, "error_class", class, "error", err.Error())
			span.SetAttributes(attribute.String("error.type", class))
			span.SetStatus(codes.Error, class)
		}
		log.DebugContext(ctx, "backend call", args...)
		return err
	}
}
