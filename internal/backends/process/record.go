// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// A container's folder is its working directory, unless the user names
// another. Files of the backend keep out of the program's way by their names.
// (A second folder would double the time that a start takes on some systems.)
const (
	// recordFile says what was asked for; it is there before anything starts.
	recordFile = ".dockerparallel.json"
	// runFile has a line each of the supervisor, the worker and, at the end,
	// the exit code; see shim.go.
	runFile = ".dockerparallel.run"
	// stopFile exists once Kill has begun on a container that was still starting.
	stopFile = ".dockerparallel.stop"
	// logFile has stdout and stderr.
	logFile = ".dockerparallel.log"
)

// record is what is remembered of a container. It holds no secret and no
// value of the environment.
type record struct {
	Version    int               `json:"v"`
	Labels     map[string]string `json:"labels"`
	Ports      map[string]int    `json:"ports,omitempty"`
	Program    string            `json:"program"`
	Directory  string            `json:"directory"`
	StopSignal string            `json:"stop_signal"`
	StopGrace  time.Duration     `json:"stop_grace"` // nanoseconds
	Token      string            `json:"token"`
	Workers    int               `json:"workers"`
	CreatedAt  time.Time         `json:"created_at"`
	// Boot is when, and Machine where, pids mean what they say.
	Boot    string `json:"boot,omitempty"`
	Machine string `json:"machine,omitempty"`
	Host    string `json:"host,omitempty"`
}

// processID names a process for good.
type processID struct {
	pid   int
	start string
}

func (p processID) known() bool { return p.pid != 0 }

// is tells whether a line of the process table is this process, alive.
func (p processID) is(info procInfo) bool {
	return p.known() && info.pid == p.pid && info.start == p.start && !info.dead
}

// runState is what the run file says.
type runState struct {
	supervisor processID
	worker     processID
	exit       *int
}

// entry is a container on disk.
type entry struct {
	place
	id  string
	dir string
	rec *record
	run runState
	// finished is when the exit code was written.
	finished time.Time
}

// handle of the container: its worker's pid and start. As long as that is
// not known, which takes some milliseconds or means that it was never
// started, its id stands in; find understands that one for ever.
func (e *entry) handle() managed.Handle {
	if w := e.run.worker; w.known() {
		return managed.Handle(strconv.Itoa(w.pid) + "-" + w.start)
	}
	return e.provisional()
}

const provisionalPrefix = "new-"

func (e *entry) provisional() managed.Handle { return managed.Handle(provisionalPrefix + e.id) }

// errBroken says that a folder holds no record that can be read.
var errBroken = errors.New("no readable record")

// load reads a container. The error is fs.ErrNotExist if its folder is gone
// and errBroken if its record is.
func (b *Backend) load(p place, id string) (*entry, error) {
	e := &entry{place: p, id: id, dir: filepath.Join(p.dir, id)}
	path := filepath.Join(e.dir, recordFile)
	data, err := readWhole(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(e.dir); errors.Is(statErr, fs.ErrNotExist) {
			return nil, statErr
		}
		data, err = readWhole(path) // it may have come in between
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(e.dir); errors.Is(statErr, fs.ErrNotExist) {
			return nil, statErr // or gone
		}
		return e, errBroken
	}
	if err != nil {
		return nil, fileError(err, "reading the record of a process")
	}
	e.rec = &record{}
	if err := json.Unmarshal(data, e.rec); err != nil {
		e.rec = nil
		return e, errBroken
	}
	return e, b.readRun(e)
}

// readRun reads the run file anew.
func (b *Backend) readRun(e *entry) error {
	var buf [512]byte
	path := filepath.Join(e.dir, runFile)
	n, err := readSmall(path, buf[:])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(&os.PathError{Op: "open", Path: path, Err: err}, "reading the state of a process")
	}
	e.run = parseRun(buf[:n], b.table.parseStart)
	if e.run.exit != nil && e.finished.IsZero() {
		if info, err := os.Lstat(path); err == nil {
			e.finished = info.ModTime()
		}
	}
	return nil
}

// parseRun reads the lines of a run file; one without its line end is still
// being written. Of two lines of a kind the first counts.
func parseRun(data []byte, parseStart func(string) (string, bool)) runState {
	var s runState
	for {
		line, rest, complete := bytes.Cut(data, []byte{'\n'})
		if !complete {
			return s
		}
		data = rest
		kind, value, _ := strings.Cut(string(line), " ")
		number, start, _ := strings.Cut(value, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		switch kind {
		case "exit":
			if n > 256 { // a ksh's way to say that it was a signal
				n -= 128
			}
			if s.exit == nil {
				s.exit = &n
			}
		case "supervisor", "worker":
			stamp, ok := parseStart(start)
			if !ok || n <= 1 { // 0, 1 and -1 would be signals to everyone
				continue
			}
			if kind == "worker" && !s.worker.known() {
				s.worker = processID{n, stamp}
			} else if kind == "supervisor" && !s.supervisor.known() {
				s.supervisor = processID{n, stamp}
			}
		}
	}
}

// create makes the folder of a container, complete with its record, in one
// step. The error is fs.ErrExist if the container exists.
func (e *entry) create() error {
	data, err := json.Marshal(e.rec)
	if err != nil {
		return managed.Errorf(managed.ClassInvalid, "", "writing the record of a process: %w", err)
	}
	var building string
	for range attempts {
		if err = os.MkdirAll(e.place.dir, 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fileError(err, "making a folder for a process")
		}
		if building, err = os.MkdirTemp(e.place.dir, buildingPrefix); !errors.Is(err, fs.ErrNotExist) {
			break // else another operation has just removed the empty folder
		}
	}
	if err != nil {
		return fileError(err, "making a folder for a process")
	}
	if err = os.WriteFile(filepath.Join(building, recordFile), data, 0o600); err == nil {
		err = os.Rename(building, e.dir)
	}
	if err != nil {
		_ = os.RemoveAll(building)
		if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
			return fs.ErrExist
		}
		return fileError(err, "writing the record of a process")
	}
	return nil
}

// remove takes the folder of a container away, in one step for everyone
// else. None of its processes may be alive.
func (e *entry) remove() error {
	doomed := filepath.Join(e.place.dir, doomedPrefix+rand.Text())
	err := os.Rename(e.dir, doomed)
	if err == nil {
		err = removeAll(doomed)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fileError(err, "removing the files of a process")
}

// removeAll removes a tree, folders included that a program made read-only.
func removeAll(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) //nolint:gosec // a folder needs its x bit
		}
		return nil
	})
	return os.RemoveAll(path)
}
