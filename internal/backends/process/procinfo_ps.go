// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// psTable asks ps, on systems without Linux's /proc. A start time is in
// seconds since 1970, so a reboot needs no other sign. A session is taken for
// its leader's group, and marks are not seen.
type psTable struct{}

const (
	psProgram   = "/bin/ps"
	psTimestamp = "Mon Jan 2 15:04:05 2006"
)

func (psTable) boot() (string, error) { return "", nil }

func (psTable) stamp() string { return "t=$(LC_ALL=C TZ=UTC0 " + psProgram + " -o lstart= -p $$)" }

func (psTable) parseStart(raw string) (string, bool) {
	at, err := time.Parse(psTimestamp, strings.Join(strings.Fields(raw), " "))
	if err != nil {
		return "", false
	}
	return strconv.FormatInt(at.Unix(), 10), true
}

func (psTable) startedAt(start string) time.Time {
	if seconds, err := strconv.ParseInt(start, 10, 64); err == nil {
		return time.Unix(seconds, 0)
	}
	return time.Time{}
}

func (t psTable) lookup(pids []int) (map[int]procInfo, error) {
	found := make(map[int]procInfo, len(pids))
	if len(pids) == 0 {
		return found, nil
	}
	list := make([]string, len(pids))
	for i, pid := range pids {
		list[i] = strconv.Itoa(pid)
	}
	infos, err := t.ps("-p", strings.Join(list, ","))
	for _, info := range infos {
		found[info.pid] = info
	}
	return found, err
}

func (t psTable) members() ([]procInfo, error) { return t.ps("-ax") }

func (t psTable) ps(which ...string) ([]procInfo, error) {
	// Each column by itself: a BSD takes what follows an equals sign for a title.
	cmd := exec.Command(psProgram, append(which, "-o", "pid=", "-o", "pgid=", "-o", "stat=", "-o", "lstart=")...)
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC0"}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || len(out) > 0) { // 1: no such process
		return nil, managed.Errorf(managed.ClassUnavailable, "", "reading the process table with %s: %w", psProgram, err)
	}
	var infos []procInfo
	for line := range strings.Lines(string(out)) {
		info, err := t.parseLine(line)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (t psTable) parseLine(line string) (procInfo, error) {
	f := strings.Fields(line)
	if len(f) == 8 {
		pid, err1 := strconv.Atoi(f[0])
		group, err2 := strconv.Atoi(f[1])
		start, ok := t.parseStart(strings.Join(f[3:], " "))
		if err1 == nil && err2 == nil && ok {
			return procInfo{pid: pid, group: group, session: group, start: start, dead: f[2][0] == 'Z'}, nil
		}
	}
	return procInfo{}, managed.Errorf(managed.ClassUnavailable, "", "reading the process table: %s says %q", psProgram, strings.TrimSpace(line))
}

// umask asks the shell: asking the kernel means to set it for a moment.
func (psTable) umask() string {
	cmd := exec.Command(shellProgram, "-c", "umask")
	cmd.Env = os.Environ()
	out, err := cmd.Output()
	if mask := strings.TrimSpace(string(out)); err == nil && mask != "" {
		return mask
	}
	return "022"
}

func (psTable) portHolder(port int) string {
	out, err := exec.Command("lsof", "-nP", "-iTCP:"+strconv.Itoa(port), "-sTCP:LISTEN", "-Fpc").Output()
	if err != nil {
		return ""
	}
	var pid, name string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "p") && pid == "":
			pid = line[1:]
		case strings.HasPrefix(line, "c") && name == "":
			name = line[1:]
		}
	}
	if pid == "" {
		return ""
	}
	return fmt.Sprintf("process %s (%s)", pid, harmless(name))
}
