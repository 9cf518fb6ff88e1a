// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

const (
	maxTailLine = 500     // bytes of a line
	maxTailRead = 1 << 20 // bytes read from the end of a log
)

// Tail implements [managed.LogReader]. Lines are cut at 500 bytes, and what a
// terminal would obey in them is replaced.
func (b *Backend) Tail(ctx context.Context, h managed.Handle, n int) ([]string, error) {
	const doing = "reading the log of a process"
	if err := ended(ctx, doing); err != nil {
		return nil, err
	}
	e, err := b.findOne(h)
	if err != nil || n <= 0 {
		return nil, err
	}
	f, err := os.Open(filepath.Join(e.dir, logFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nothing was started yet
	}
	if err != nil {
		return nil, fileError(err, doing)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fileError(err, doing)
	}
	// Room for n lines of twice the length that is shown, and for the part of
	// a line that the reading begins in.
	size := min(info.Size(), maxTailRead, int64(min(n, maxTailRead)+1)*2*maxTailLine)
	start := info.Size() - size
	data, err := io.ReadAll(io.NewSectionReader(f, start, size))
	if err != nil {
		return nil, fileError(err, doing)
	}
	return lastLines(data, n, start > 0), nil
}

// lastLines of a log, or of its end.
func lastLines(data []byte, n int, cut bool) []string {
	data = bytes.TrimSuffix(data, []byte{'\n'})
	if len(data) == 0 {
		return nil
	}
	lines := bytes.Split(data, []byte{'\n'})
	if cut && len(lines) > 1 {
		lines = lines[1:] // its beginning was not read
	}
	lines = lines[max(0, len(lines)-n):]
	out := make([]string, len(lines))
	for i, line := range lines {
		if len(line) > maxTailLine {
			end := maxTailLine
			for end > 0 && !utf8.RuneStart(line[end]) {
				end--
			}
			out[i] = harmless(string(line[:end])) + "..."
			continue
		}
		out[i] = harmless(strings.TrimSuffix(string(line), "\r"))
	}
	return out
}

// harmless replaces what is not text: control characters, which could
// rewrite a terminal, and invalid bytes.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return utf8.RuneError
		}
		return r
	}, s)
}
