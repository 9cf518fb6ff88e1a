// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package docker

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// maxTail bounds what is read of a log whose lines are very long.
const maxTail = 1 << 20

// Tail implements [managed.LogReader]. A log driver that cannot be read from
// is an error.
func (b *Backend) Tail(ctx context.Context, h managed.Handle, n int) ([]string, error) {
	if !looksLikeHandle(h) {
		return nil, notThere(h)
	}
	res, err := b.docker.ContainerLogs(ctx, string(h), client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(n)})
	if err != nil {
		return nil, b.engine.Classify(err, "reading the log of the container "+short(h))
	}
	defer func() { _ = res.Close() }()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, io.LimitReader(res, maxTail)); err != nil && out.Len() == 0 {
		return nil, b.engine.Classify(err, "reading the log of the container "+short(h))
	}
	text := strings.TrimRight(out.String(), "\n")
	if text == "" {
		return nil, nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):], nil
}
