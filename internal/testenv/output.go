// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package testenv

import (
	"bytes"
	"sync"
)

// Output takes what a program prints, and can be read while it still does.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements [io.Writer].
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
