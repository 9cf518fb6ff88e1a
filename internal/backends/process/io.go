// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"os"
	"runtime"
	"sync"
	"syscall"
)

// readSmall reads a file that fits into buf, with as few calls as possible.
// The error is a bare syscall.Errno.
func readSmall(path string, buf []byte) (int, error) {
	var fd int
	var err error
	for {
		if fd, err = syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = syscall.Close(fd) }()
	total := 0
	for total < len(buf) {
		n, err := syscall.Read(fd, buf[total:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		total += n
	}
	return total, nil
}

// sideBySide calls f for each index, on a few goroutines if that is worth
// it, and returns the first error.
func sideBySide(n int, f func(i int) error) error {
	workers := min(2*runtime.GOMAXPROCS(0), n/16)
	if workers <= 1 {
		for i := range n {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = f(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// readWhole reads a file of any size; for small ones it is faster than
// os.ReadFile, which also asks for the size and for the poller.
func readWhole(path string) ([]byte, error) {
	buf := make([]byte, 8192)
	n, err := readSmall(path, buf)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if n < len(buf) {
		return buf[:n], nil
	}
	return os.ReadFile(path)
}
