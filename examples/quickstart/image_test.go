// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// image runs the sub-command.
func image(t *testing.T, program string) (archive *bytes.Buffer, messages string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), []string{"image", "--program", program}, lookup(nil), &out, &errs)
	return &out, errs.String(), code
}

func TestImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "static")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}

	archive, messages, code := image(t, program)
	if code != 0 {
		t.Fatal(messages)
	}
	r := tar.NewReader(archive)
	header, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if "/"+header.Name != programInImage || header.Mode != 0o755 || header.Uid != 0 || header.Gid != 0 {
		t.Errorf("the image has %+v", header)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes in the image, not the %d of the program, %v", len(got), len(want), err)
	}
	if header, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the image has more: %+v, %v", header, err)
	}

	dynamic := filepath.Join(dir, "dynamic")
	if err := os.WriteFile(dynamic, withInterpreter(t, want), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, reason := range map[string]string{dynamic: "libraries", "image.go": "no program for Linux"} {
		archive, messages, code := image(t, path)
		if code != 1 || archive.Len() > 0 || !strings.Contains(messages, reason) || !strings.Contains(messages, "CGO_ENABLED=0 GOOS=linux go build") {
			t.Errorf("%s: exit code %d, %d bytes, %s", path, code, archive.Len(), messages)
		}
	}
}

// withInterpreter makes a static program look like a dynamic one: that saves building it.
func withInterpreter(t *testing.T, program []byte) []byte {
	t.Helper()
	var h elf.Header64
	if _, err := binary.Decode(program, binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	if h.Ident[elf.EI_CLASS] != byte(elf.ELFCLASS64) || h.Ident[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		t.Skip("this test knows the programs of 64-bit little-endian processors only")
	}
	program = slices.Clone(program)
	binary.LittleEndian.PutUint32(program[h.Phoff:], uint32(elf.PT_INTERP)) // the type comes first
	return program
}
