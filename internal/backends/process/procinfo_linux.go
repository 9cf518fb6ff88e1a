// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// newProcTable reads /proc. A start time is in clock ticks since boot.
func newProcTable() procTable {
	return &linuxTable{
		bootID: sync.OnceValues(readBoot),
		up:     sync.OnceValue(readBootTime),
	}
}

type linuxTable struct {
	bootID func() (string, error)
	up     func() time.Time
}

// ticksPerSecond is USER_HZ, which is 100 on all platforms that Go runs on.
const ticksPerSecond = 100

func (t *linuxTable) boot() (string, error) { return t.bootID() }

// readBoot names the boot and the pid namespace: in another container of
// the same machine the same pid is another process.
func readBoot() (string, error) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return "", managed.Errorf(managed.ClassUnavailable, "", "the process backend needs /proc to be mounted: %w", err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", managed.Errorf(managed.ClassUnavailable, "", "reading when the machine was started: %w", err)
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		ns = "" // a kernel without pid namespaces
	}
	return strings.TrimSpace(string(id)) + " " + ns, nil
}

func readBootTime() time.Time {
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return time.Time{}
	}
	first, _, _ := strings.Cut(string(data), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(seconds * float64(time.Second)))
}

// stamp reads field 22 of the shell's own stat; "(sh)" has no space in it.
func (t *linuxTable) stamp() string {
	return "read -r " + strings.Repeat("x ", 21) + "t x </proc/$$/stat"
}

func (t *linuxTable) parseStart(raw string) (string, bool) {
	_, err := strconv.ParseUint(raw, 10, 64)
	return raw, err == nil
}

func (t *linuxTable) startedAt(start string) time.Time {
	ticks, err := strconv.ParseInt(start, 10, 64)
	if up := t.up(); err == nil && !up.IsZero() {
		return up.Add(time.Duration(ticks) * (time.Second / ticksPerSecond))
	}
	return time.Time{}
}

func (t *linuxTable) lookup(pids []int) (map[int]procInfo, error) {
	infos := make([]procInfo, len(pids))
	err := sideBySide(len(pids), func(i int) error {
		info, ok, err := readStat(pids[i])
		if err == nil && ok {
			infos[i] = info
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	found := make(map[int]procInfo, len(pids))
	for _, info := range infos {
		if info.pid != 0 {
			found[info.pid] = info
		}
	}
	return found, nil
}

func (t *linuxTable) members() ([]procInfo, error) {
	pids, err := allPids()
	if err != nil {
		return nil, err
	}
	infos := make([]procInfo, len(pids))
	err = sideBySide(len(pids), func(i int) error {
		info, ok, err := readStat(pids[i])
		if err != nil || !ok || info.dead || info.session == 0 { // session 0: the kernel's
			return nil //nolint:nilerr // a process of others that cannot be read is not ours
		}
		info.mark = readMark(info.pid)
		infos[i] = info
		return nil
	})
	if err != nil {
		return nil, err
	}
	members := infos[:0]
	for _, info := range infos {
		if info.pid != 0 {
			members = append(members, info)
		}
	}
	return members, nil
}

func allPids() ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, managed.Errorf(managed.ClassUnavailable, "", "reading the process table: %w", err)
	}
	defer func() { _ = proc.Close() }()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, managed.Errorf(managed.ClassUnavailable, "", "reading the process table: %w", err)
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// readStat reads /proc/PID/stat. It is false for a pid that does not exist.
func readStat(pid int) (procInfo, bool, error) {
	var buf [1024]byte
	n, err := readSmall("/proc/"+strconv.Itoa(pid)+"/stat", buf[:])
	switch err {
	case nil:
	case syscall.ENOENT, syscall.ESRCH:
		return procInfo{}, false, nil
	default:
		return procInfo{}, false, managed.Errorf(managed.ClassUnavailable, "", "reading the state of process %d: %w", pid, err)
	}
	// The program's name may hold anything, so count from its last bracket:
	// state, parent, group, session, ... and the start as the 20th.
	after := buf[:n]
	fields := bytes.Fields(after[bytes.LastIndexByte(after, ')')+1:])
	if len(fields) < 20 {
		return procInfo{}, false, managed.Errorf(managed.ClassUnavailable, "", "reading the state of process %d: %d fields", pid, len(fields))
	}
	group, _ := strconv.Atoi(string(fields[2]))
	session, _ := strconv.Atoi(string(fields[3]))
	state := fields[0][0]
	return procInfo{
		pid: pid, group: group, session: session,
		start: string(fields[19]),
		dead:  state == 'Z' || state == 'X' || state == 'x',
	}, true, nil
}

// readMark finds a container's id in a process's first environment.
func readMark(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	const prefix = managed.EnvContainer + "="
	for len(data) > 0 {
		entry, rest, _ := bytes.Cut(data, []byte{0})
		if bytes.HasPrefix(entry, []byte(prefix)) {
			return string(entry[len(prefix):])
		}
		data = rest
	}
	return ""
}

func (t *linuxTable) umask() string {
	data, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(line, "Umask:"); ok {
				return strings.TrimSpace(value)
			}
		}
	}
	return "022"
}

func (t *linuxTable) portHolder(port int) string {
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		suffix := fmt.Sprintf(":%04X", port)
		for line := range strings.Lines(string(data)) {
			// sl local remote state tx:rx tr:when retransmits uid timeout inode
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], suffix) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	pids, err := allPids()
	if len(inodes) == 0 || err != nil {
		return ""
	}
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // of another user
		}
		for _, fd := range fds {
			if target, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil && inodes[target] {
				name, _ := os.ReadFile(filepath.Join(dir, "comm"))
				return fmt.Sprintf("process %d (%s)", pid, harmless(strings.TrimSpace(string(name))))
			}
		}
	}
	return ""
}
