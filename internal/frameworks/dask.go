// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"fmt"
	"net"
	"path"
	"strconv"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// dask is Dask's distributed scheduler with its workers. Without TLS it has no
// authentication: whoever reaches the scheduler or a worker can run any code
// there, so the cluster's network has to keep others away.
type dask struct{ configured }

var (
	_ managed.Framework    = dask{}
	_ managed.ServerProber = dask{}
	_ managed.IdleTeller   = dask{}
	_ managed.Drainer      = dask{}
	_ managed.Configured   = dask{}
	_ managed.Exporter     = dask{}
)

// daskDashboard is the name of the scheduler's HTTP port.
const daskDashboard = "dashboard"

// daskImage has to hold what the client has: Dask wants the same versions of
// Python and of the packages everywhere.
const daskImage = "ghcr.io/dask/dask:latest"

// daskGrace is the time for a task to be finished and for results to move to
// other workers, which can be gigabytes. It costs nothing where there are none.
const daskGrace = 5 * time.Minute

// daskDeathTimeout is how long a worker looks for its scheduler.
const daskDeathTimeout = "60s"

// The variables that dask adds to a container.
const (
	// Read by dask itself, so that they hold for a command of the user's as
	// well. With the scheduler's address, a Client() in a task finds it, too.
	daskScheduler = "DASK_SCHEDULER_ADDRESS"
	daskRoutes    = "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES"
	daskPreload   = "DASK_DISTRIBUTED__SCHEDULER__PRELOAD"
	// Read by the default commands and by what is preloaded.
	daskExtension      = "DOCKERPARALLEL_DASK_EXTENSION"
	daskDashboardPort  = "DOCKERPARALLEL_DASK_DASHBOARD_PORT"
	daskIdleTimeout    = "DOCKERPARALLEL_DASK_IDLE_TIMEOUT"
	daskName           = "DOCKERPARALLEL_DASK_NAME"
	daskThreads        = "DOCKERPARALLEL_DASK_NTHREADS"
	daskMemoryLimit    = "DOCKERPARALLEL_DASK_MEMORY_LIMIT"
	daskDeath          = "DOCKERPARALLEL_DASK_DEATH_TIMEOUT"
	daskLocalDirectory = "DOCKERPARALLEL_DASK_LOCAL_DIRECTORY"
)

// daskServer starts the scheduler: with `dask scheduler`, or in older releases
// dask-scheduler, which newer ones warn of. It listens where the core says: at
// a name or an IPv4 address, as dask does not take any other for the dashboard.
//
// There is no "$(" in it: that would be one of the core's references.
const daskServer = `: "${DOCKERPARALLEL_SERVER_PORT:?}" "${` + daskDashboardPort + `:?}"
set -- --port "$DOCKERPARALLEL_SERVER_PORT" --dashboard-address "$DOCKERPARALLEL_SERVER_HOST:$` + daskDashboardPort + `"
if [ -n "$DOCKERPARALLEL_SERVER_HOST" ]; then set -- "$@" --host "$DOCKERPARALLEL_SERVER_HOST"; fi
if [ -n "$` + daskIdleTimeout + `" ]; then set -- "$@" --idle-timeout "$` + daskIdleTimeout + `"; fi
if command -v dask >/dev/null 2>&1; then exec dask scheduler "$@"; fi
exec dask-scheduler "$@"
`

// daskWorker starts one process per worker, each looked after by a nanny that
// starts it again if it dies. The scheduler's address is in the environment.
//
// Where dask starts several workers it adds "-0", "-1", ... to the name. As a
// container's name may end so as well, they are kept apart from it.
//
// A worker does what everybody who reaches it asks for, and by default listens
// on all addresses. Where the scheduler is on the loopback, so are the workers.
const daskWorker = `: "${` + daskScheduler + `:?}" "${DOCKERPARALLEL_WORKERS:?}" "${` + daskName + `:?}"
name="$` + daskName + `:$DOCKERPARALLEL_CONTAINER"
if [ "$DOCKERPARALLEL_WORKERS" -gt 1 ]; then name="$name:worker"; fi
set -- --nanny --nworkers "$DOCKERPARALLEL_WORKERS" --name "$name" --nthreads "$` + daskThreads + `" \
  --memory-limit "$` + daskMemoryLimit + `" --death-timeout "$` + daskDeath + `"
case "$DOCKERPARALLEL_SERVER_HOST" in
127.*|localhost) set -- "$@" --host 127.0.0.1 --dashboard-address 127.0.0.1:0 ;;
esac
if [ -n "$` + daskLocalDirectory + `" ]; then set -- "$@" --local-directory "$` + daskLocalDirectory + `"; fi
if command -v dask >/dev/null 2>&1; then exec dask worker "$@"; fi
exec dask-worker "$@"
`

func daskOptions() []Option {
	return []Option{
		{
			Name: "idle_timeout", Type: String, Roles: ofServer(),
			Description: "The scheduler ends itself, and with it the workers, when no task has run or waited for so long: a duration such as `30m`. " +
				"The next apply starts it again, with its workers: the plan says so. Default: it never ends itself.",
			Check: daskCheckDuration,
		},
		{
			Name: "nthreads", Type: Int, Roles: ofWorker(),
			Description: "How many tasks a worker runs at once, in threads. Default: one for each core of `hardware` (`cpu` / 1024, rounded), at least 1.",
			Check: func(value any) string {
				if n, _ := value.(int64); n < 1 {
					return fmt.Sprintf("A worker needs at least 1 thread, not %d.", n)
				}
				return ""
			},
		},
		{
			Name: "death_timeout", Type: String, Roles: ofWorker(),
			Description: "How long a worker that starts looks for the scheduler before it gives up with an error: a duration such as `2m`. Default: `" + daskDeathTimeout + "`.",
			Check:       daskCheckDuration,
		},
		{
			Name: "local_directory", Type: String, Roles: ofWorker(),
			Description: "The folder in the container where workers keep their files and what does not fit into memory: an absolute path. Default: Dask's own, below `/tmp`.",
			Check: func(value any) string {
				if dir, _ := value.(string); !path.IsAbs(dir) {
					return fmt.Sprintf("%q is not an absolute path: begin it with \"/\".", dir)
				}
				return ""
			},
		},
	}
}

func daskCheckDuration(value any) string {
	text, _ := value.(string)
	if d, err := time.ParseDuration(text); err != nil || d <= 0 {
		return fmt.Sprintf("%q is not a duration above zero: write it as \"90s\", \"30m\" or \"1h30m\".", text)
	}
	return ""
}

// daskDuration is a checked duration as dask reads it: it does not know "1h30m".
func daskDuration(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return ""
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

// Name implements managed.Framework.
func (dask) Name() string { return "dask" }

// Defaults implements managed.Framework.
func (dask) Defaults(role managed.Role) managed.Defaults {
	d := managed.Defaults{
		Image: daskImage,
		// The entrypoint stays the image's own: it installs what
		// EXTRA_PIP_PACKAGES and its like ask for.
		Command:    []string{"sh", "-c", daskWorker},
		Hardware:   hardware(role),
		MaxWorkers: 1,
		StopSignal: stopSignal,
		StopGrace:  daskGrace,
	}
	if role == managed.RoleServer {
		d.Command = []string{"sh", "-c", daskServer}
		d.Port = 8786
		d.Ports = []managed.Port{{Name: daskDashboard, Number: 8787}}
		// All tasks go through the scheduler, a Python program: a part of a core
		// would hold up all workers.
		d.Hardware.CPU = 1024
		d.StopGrace = stopGrace
	}
	return d
}

// HasPassword implements managed.Framework.
func (dask) HasPassword() bool { return false }

// URL implements managed.Framework.
func (dask) URL(host string, port int, _ managed.Secret) string {
	return "tcp://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// Environment implements managed.Framework.
func (d dask) Environment(role managed.Role, f managed.Facts) managed.Environment {
	if role == managed.RoleServer {
		return managed.Environment{Plain: map[string]string{
			daskRoutes: daskAllRoutes,
			// Short, because dask logs it.
			daskPreload:       "import os; exec(os.environ['" + daskExtension + "'])",
			daskExtension:     daskSchedulerExtension,
			daskDashboardPort: strconv.Itoa(f.Ports[daskDashboard]),
			daskIdleTimeout:   daskDuration(d.values.str("idle_timeout")),
		}}
	}
	death := daskDeathTimeout
	if d.values.has("death_timeout") {
		death = daskDuration(d.values.str("death_timeout"))
	}
	return managed.Environment{Plain: map[string]string{
		daskScheduler:      d.URL(f.Host, f.Port, ""),
		daskName:           daskPoolName(f),
		daskThreads:        strconv.Itoa(d.threads(f.Hardware)),
		daskMemoryLimit:    daskMemory(f.Hardware),
		daskDeath:          death,
		daskLocalDirectory: d.values.str("local_directory"),
	}}
}

// threads of one worker.
func (d dask) threads(h managed.Hardware) int {
	if n := d.values.integer("nthreads"); n > 0 {
		return n
	}
	return max(1, (h.CPU+512)/1024)
}

// daskMemory is the limit of one worker. Where nothing is known, dask finds
// out itself; 0 would mean no limit.
func daskMemory(h managed.Hardware) string {
	if h.Memory <= 0 {
		return "auto"
	}
	return strconv.Itoa(h.Memory) + "MiB"
}

// daskPoolName begins the names of all workers of f's pool; a colon, the
// container's name and perhaps another colon follow. Namespaces, clusters,
// pools and containers have no colon.
func daskPoolName(f managed.Facts) string {
	return "dockerparallel:" + f.Namespace + ":" + f.Cluster + ":" + f.Pool
}

// Exports implements managed.Exporter.
func (dask) Exports(ports map[string]managed.Endpoint) map[string]string {
	if page := exported(ports[daskDashboard], "http", "/status"); page != "" {
		return map[string]string{daskDashboard: page}
	}
	return nil
}

// Client implements managed.Framework. There is no R: Dask is for Python.
func (d dask) Client(f managed.ClientFacts) managed.Client {
	address := d.URL(f.Host, f.Port, "")
	head := tunnelNote(f) + "# Cluster " + f.Cluster + ".\n"
	return managed.Client{
		URL: address,
		Python: head + fmt.Sprintf(`import distributed

# From now on, compute() and the like run on the cluster.
client = distributed.Client(%s)

# When the work is done: dockerparallel_deregister()
def dockerparallel_deregister():
    client.close()
`, literalQuote(address)),
		Shell: head + fmt.Sprintf(`# Python programs then find the cluster with distributed.Client().
export DASK_SCHEDULER_ADDRESS=%s

# When the work is done: dockerparallel_deregister
dockerparallel_deregister() {
  unset DASK_SCHEDULER_ADDRESS
}
`, shellQuote(address)),
	}
}
