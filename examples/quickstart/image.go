// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// programInImage is where the program is in the image that imageCommand makes.
const programInImage = "/quickstart"

// imageCommand writes a container image with nothing in it but this program: a file system, for "docker import".
func imageCommand(_ context.Context, args []string, _ func(string) string, stdout, stderr io.Writer) error {
	flags := newFlags("image", stderr)
	path := flags.String("program", "", "the program to put into it, if it is not this one: the same, built for the engine's platform")
	if err := parse(flags, args); err != nil {
		return err
	}
	if isTerminal(stdout) {
		return errors.New("this writes an archive: quickstart image | docker import - NAME")
	}

	if *path == "" {
		var err error
		if *path, err = os.Executable(); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(*path)
	if err != nil {
		return err
	}
	if err := checkProgram(program); err != nil {
		return fmt.Errorf("%s: %w", *path, err)
	}
	return writeImage(stdout, program)
}

// checkProgram refuses what an empty file system cannot run: the engine would only say that there is no such file.
func checkProgram(program []byte) error {
	const remedy = "build it with CGO_ENABLED=0 GOOS=linux go build"
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("no program for Linux: %s", remedy)
	}
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fmt.Errorf("it needs libraries of the system, which are not in the image: %s", remedy)
	}
	return nil
}

// writeImage writes the file system. It belongs to root, whoever has built the program.
func writeImage(w io.Writer, program []byte) error {
	archive := tar.NewWriter(w)
	err := archive.WriteHeader(&tar.Header{Name: programInImage[1:], Mode: 0o755, Size: int64(len(program)), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = archive.Write(program)
	}
	return errors.Join(err, archive.Close())
}
