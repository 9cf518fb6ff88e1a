// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"
)

// logSubsystem is the name under which the core's log lines are found;
// TF_LOG_PROVIDER_DOCKERPARALLEL sets the level of all of them.
const logSubsystem = "dockerparallel"

// newLogger writes the core's log lines into Terraform's log. It holds no
// secrets: managed.Secret does not show itself, and the core logs no specs.
func newLogger(ctx context.Context) *slog.Logger { return slog.New(logHandler{base: ctx}) }

// logHandler is a slog.Handler over tflog, which takes its sink from the
// context of each call.
type logHandler struct {
	// base stands in for the context of calls that have none.
	base   context.Context
	fields map[string]any
	prefix string
}

// Enabled implements slog.Handler. The level is tflog's decision.
func (h logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	fields := make(map[string]any, len(h.fields)+r.NumAttrs())
	for k, v := range h.fields {
		fields[k] = v
	}
	r.Attrs(func(a slog.Attr) bool {
		addField(fields, h.prefix, a)
		return true
	})
	if ctx == context.Background() && h.base != nil {
		ctx = h.base
	}
	ctx = tflog.NewSubsystem(ctx, logSubsystem)
	switch {
	case r.Level < slog.LevelDebug:
		tflog.SubsystemTrace(ctx, logSubsystem, r.Message, fields)
	case r.Level < slog.LevelInfo:
		tflog.SubsystemDebug(ctx, logSubsystem, r.Message, fields)
	case r.Level < slog.LevelWarn:
		tflog.SubsystemInfo(ctx, logSubsystem, r.Message, fields)
	case r.Level < slog.LevelError:
		tflog.SubsystemWarn(ctx, logSubsystem, r.Message, fields)
	default:
		tflog.SubsystemError(ctx, logSubsystem, r.Message, fields)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := make(map[string]any, len(h.fields)+len(attrs))
	for k, v := range h.fields {
		fields[k] = v
	}
	for _, a := range attrs {
		addField(fields, h.prefix, a)
	}
	return logHandler{base: h.base, fields: fields, prefix: h.prefix}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return logHandler{base: h.base, fields: h.fields, prefix: h.prefix + name + "."}
}

func addField(fields map[string]any, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			addField(fields, prefix, inner)
		}
	case slog.KindDuration:
		fields[prefix+a.Key] = v.Duration().String()
	case slog.KindTime:
		fields[prefix+a.Key] = v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		// As text: tflog would encode a value field by field, past its String method.
		fields[prefix+a.Key] = fmt.Sprint(v.Any())
	default:
		fields[prefix+a.Key] = v.Any()
	}
}
