// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// ray is Ray: a head, and workers that are Ray's nodes. All that reaches a
// Ray cluster can run any code there, so the cluster's password is Ray's
// token, which Ray knows since 2.52.
//
// It is not run in CI: Ray cannot be installed there.
type ray struct{ configured }

var (
	_ managed.Framework    = ray{}
	_ managed.ServerProber = ray{}
	_ managed.WorkerLister = ray{}
	_ managed.Configured   = ray{}
	_ managed.Exporter     = ray{}
)

// rayImage names its Python, because Ray wants the same Ray and Python
// everywhere, clients included.
const rayImage = "rayproject/ray:2.58.0-py312"

// The ports of a head. Workers use its main one; clients use the others.
const (
	rayPort      = 6379
	rayDashboard = "dashboard"
	rayClient    = "client"
)

// rayDrainTimeout is the time, in seconds, that a worker's tasks have to end
// before Ray stops them. It is less than rayGrace, so that Ray can clean up. A
// worker that has nothing to do leaves at once.
const (
	rayDrainTimeout = 270
	rayGrace        = 5 * time.Minute
)

// The variables that ray adds to a container.
const (
	// Read by Ray itself, so that they hold for commands of the user's as well.
	rayAuthMode  = "RAY_AUTH_MODE"
	rayAuthToken = "RAY_AUTH_TOKEN"
	rayDrain     = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
	// Read by the default commands.
	rayDashboardPort = "DOCKERPARALLEL_RAY_DASHBOARD_PORT"
	rayClientPort    = "DOCKERPARALLEL_RAY_CLIENT_PORT"
	rayResource      = "DOCKERPARALLEL_RAY_RESOURCE"
	rayCPUs          = "DOCKERPARALLEL_RAY_CPUS"
	rayGPUs          = "DOCKERPARALLEL_RAY_GPUS"
	rayMemory        = "DOCKERPARALLEL_RAY_MEMORY"
	rayObjectStore   = "DOCKERPARALLEL_RAY_OBJECT_STORE_MEMORY"
)

// rayServer starts the head. A Ray that knows no tokens would ignore the
// variables and let everybody in, so that one is refused.
//
// There is no "$(" in it: that would be one of the core's references.
const rayServer = `: "${DOCKERPARALLEL_SERVER_PORT:?}" "${` + rayDashboardPort + `:?}" "${` + rayClientPort + `:?}" "${` + rayCPUs + `:?}"
if ! command -v ray >/dev/null 2>&1; then
  echo "there is no program \"ray\" here: use an image of Ray" >&2
  exit 127
fi
if [ "$` + rayAuthMode + `" = token ] && ! ray get-auth-token --help >/dev/null 2>&1; then
  echo "this Ray does not know tokens and would let everybody in: use Ray 2.52 or newer" >&2
  exit 1
fi
set -- --head --block --disable-usage-stats --port "$DOCKERPARALLEL_SERVER_PORT" \
  --dashboard-host "${DOCKERPARALLEL_SERVER_HOST:-0.0.0.0}" --dashboard-port "$` + rayDashboardPort + `" \
  --ray-client-server-port "$` + rayClientPort + `" --num-cpus "$` + rayCPUs + `" --num-gpus 0
if [ -n "$DOCKERPARALLEL_SERVER_HOST" ]; then
  set -- "$@" --node-ip-address "$DOCKERPARALLEL_SERVER_HOST"
fi
exec ray start "$@"
`

// rayWorker starts one node, which stands for all workers of the container.
// A resource of its own tells their pool, container and number: Ray's labels
// take no more than 63 characters, and the node's name is no public option.
const rayWorker = `: "${DOCKERPARALLEL_SERVER_URL:?}" "${DOCKERPARALLEL_WORKERS:?}" "${DOCKERPARALLEL_CONTAINER:?}" "${` + rayResource + `:?}" "${` + rayCPUs + `:?}" "${` + rayGPUs + `:?}"
set -- --block --address "$DOCKERPARALLEL_SERVER_URL" --num-cpus "$` + rayCPUs + `" --num-gpus "$` + rayGPUs + `" \
  --resources "{\"$` + rayResource + `:$DOCKERPARALLEL_CONTAINER\": $DOCKERPARALLEL_WORKERS}"
if [ -n "$` + rayMemory + `" ]; then
  set -- "$@" --memory "$` + rayMemory + `"
fi
if [ -n "$` + rayObjectStore + `" ]; then
  set -- "$@" --object-store-memory "$` + rayObjectStore + `"
fi
exec ray start "$@"
`

func rayOptions() []Option {
	return []Option{
		{
			Name: "num_cpus", Type: Int, Roles: ofServer(),
			Description: "How many CPUs the head offers to tasks. Default: `0`, so that tasks run on workers only; jobs' own scripts run on the head nevertheless." + untested,
			Check:       checkAtLeast("A head cannot offer", 0, "CPUs"),
		},
		{
			Name: "object_store_memory", Type: Int, Roles: ofWorker(),
			Description: "How much of a worker's memory holds objects, in MB; the rest is for tasks. Ray keeps objects in `/dev/shm`, so give containers that much of it (`docker = { shm_size = ... }`). " +
				"Default: what Ray chooses, about 30% of the container's memory." + untested,
			Check: checkAtLeast("Ray cannot work with an object store of", 75, "MB"),
		},
		{
			Name: "drain_timeout", Type: Int, Roles: ofWorker(),
			Description: fmt.Sprintf("How many seconds the tasks of a worker have to end when it is stopped; it gets no more in that time, and leaves when it has none. "+
				"Ray 2.58 or newer heeds it; older ones stop tasks at once, and Ray runs them again elsewhere. Keep it below `stop_grace_period`. Default: `%d`; `0` does not wait.", rayDrainTimeout) + untested,
			Check: checkAtLeast("A worker cannot wait for", 0, "seconds"),
		},
	}
}

// Name implements managed.Framework.
func (ray) Name() string { return "ray" }

// Defaults implements managed.Framework. Beside what runs in them, head and
// node need a gigabyte for processes of Ray's own.
func (ray) Defaults(role managed.Role) managed.Defaults {
	d := managed.Defaults{
		Image:      rayImage,
		Command:    []string{"sh", "-c", rayWorker},
		Hardware:   managed.Hardware{CPU: 1024, Memory: 4096},
		MaxWorkers: 1,
		StopSignal: stopSignal,
		StopGrace:  rayGrace,
	}
	if role == managed.RoleServer {
		d.Command = []string{"sh", "-c", rayServer}
		d.Port = rayPort
		d.Ports = []managed.Port{{Name: rayDashboard, Number: 8265}, {Name: rayClient, Number: 10001}}
		d.StopGrace = stopGrace
	}
	return d
}

// HasPassword implements managed.Framework.
func (ray) HasPassword() bool { return true }

// URL implements managed.Framework: the address as Ray's own programs take it.
// The token is never in there.
func (ray) URL(host string, port int, _ managed.Secret) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Environment implements managed.Framework. Only a server from elsewhere has
// no password.
func (r ray) Environment(role managed.Role, f managed.Facts) managed.Environment {
	env := managed.Environment{
		Plain:  map[string]string{rayAuthMode: "token"},
		Secret: map[string]managed.Secret{rayAuthToken: f.Password},
	}
	if f.Password == "" {
		env.Plain[rayAuthMode] = "disabled"
	}
	if role == managed.RoleServer {
		env.Plain[rayDashboardPort] = strconv.Itoa(f.Ports[rayDashboard])
		env.Plain[rayClientPort] = strconv.Itoa(f.Ports[rayClient])
		env.Plain[rayCPUs] = strconv.Itoa(r.values.integer("num_cpus"))
		// Nothing runs on without the head.
		env.Plain[rayDrain] = "0"
		return env
	}
	drain := rayDrainTimeout
	if r.values.has("drain_timeout") {
		drain = r.values.integer("drain_timeout")
	}
	memory, objects := r.memory(f)
	env.Plain[rayResource] = rayPoolName(f)
	env.Plain[rayCPUs] = strconv.Itoa(coresOf(f))
	env.Plain[rayGPUs] = strconv.Itoa(max(1, f.Workers) * f.Hardware.GPUs)
	env.Plain[rayMemory] = memory
	env.Plain[rayObjectStore] = objects
	env.Plain[rayDrain] = strconv.Itoa(drain)
	return env
}

// memory in bytes that a container has for tasks and, if the user has chosen
// it, for objects. Where nothing is known, Ray finds out itself.
func (r ray) memory(f managed.Facts) (tasks, objects string) {
	all := int64(max(1, f.Workers)) * int64(f.Hardware.Memory) << 20
	own := int64(max(1, f.Workers)) * int64(r.values.integer("object_store_memory")) << 20
	if own > 0 {
		objects = strconv.FormatInt(own, 10)
	} else {
		own = all * 3 / 10 // Ray's own share for objects
	}
	if all > own {
		tasks = strconv.FormatInt(all-own, 10)
	}
	return tasks, objects
}

// rayPoolName begins the resource of each node of f's pool; a colon and the
// container's name follow. Namespaces, clusters and pools have no colon.
func rayPoolName(f managed.Facts) string {
	return "dockerparallel:" + f.Namespace + ":" + f.Cluster + ":" + f.Pool
}

func rayHead(dial managed.DialFunc, f managed.Facts) httpServer {
	return httpServer{dial: dial, port: rayDashboard, what: "the Ray head", token: f.Password}
}

// ProbeServer implements managed.ServerProber: the dashboard answers, knows the
// token, and the head listens where workers connect.
func (ray) ProbeServer(ctx context.Context, dial managed.DialFunc, f managed.Facts) error {
	var version struct {
		Ray string `json:"ray_version"`
	}
	head := rayHead(dial, f)
	if err := head.get(ctx, "/api/version", &version); err != nil {
		return err
	}
	if version.Ray == "" {
		return managed.Errorf(managed.ClassTransient, "", "what answers on the dashboard's port is no Ray: does another program use it?")
	}
	return head.listens(ctx)
}

// rayNodes lists the nodes that live, with their resources. Without a limit it
// would be 100 of them.
const rayNodes = "/api/v0/nodes?detail=true&limit=10000&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"

// RegisteredWorkers implements managed.WorkerLister with Ray's state API. A
// node stands for all workers of its container.
func (ray) RegisteredWorkers(ctx context.Context, dial managed.DialFunc, f managed.Facts) ([]managed.RegisteredWorker, error) {
	var answer struct {
		OK      bool   `json:"result"`
		Message string `json:"msg"`
		Data    struct {
			Result struct {
				Nodes []struct {
					State     string                     `json:"state"`
					Resources map[string]json.RawMessage `json:"resources_total"`
				} `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := rayHead(dial, f).get(ctx, rayNodes, &answer); err != nil {
		return nil, err
	}
	if !answer.OK {
		return nil, managed.Errorf(managed.ClassTransient, "", "the Ray head does not tell its nodes: %s", answer.Message)
	}
	var workers []managed.RegisteredWorker
	for _, node := range answer.Data.Result.Nodes {
		if node.State != "ALIVE" {
			continue
		}
		for name, quantity := range node.Resources {
			container, ours := strings.CutPrefix(name, rayPoolName(f)+":")
			var n float64
			if ours && json.Unmarshal(quantity, &n) == nil {
				workers = append(workers, managed.RegisteredWorker{Container: container, Workers: int(n)})
			}
		}
	}
	return workers, nil
}

// The exports of a Ray cluster.
const (
	rayDashboardURL = "dashboard"
	rayClientURL    = "ray_client"
)

// Exports implements managed.Exporter.
func (ray) Exports(ports map[string]managed.Endpoint) map[string]string {
	exports := map[string]string{}
	for name, address := range map[string]string{
		rayDashboardURL: exported(ports[rayDashboard], "http", ""),
		rayClientURL:    exported(ports[rayClient], "ray", ""),
	} {
		if address != "" {
			exports[name] = address
		}
	}
	return exports
}

// Client implements managed.Framework. Python works interactively over Ray
// Client; the shell submits jobs to the dashboard. Their ports are not the
// main one, and follow it as the core says.
func (ray) Client(f managed.ClientFacts) managed.Client {
	dashboard, client := 8265, 10001
	if f.Port != rayPort {
		dashboard, client = f.Port+1, f.Port+2
	}
	at := func(scheme string, port int) string {
		return scheme + "://" + net.JoinHostPort(f.Host, strconv.Itoa(port))
	}
	address := cmp.Or(f.Exports[rayClientURL], at("ray", client))
	head := tunnelNote(f) + fmt.Sprintf(`# Cluster %s. It needs the same releases of Ray and Python as the cluster.
# Outside the cluster's network, its ports have to be published (server.publish.ports) or forwarded.
`, f.Cluster)
	return managed.Client{
		URL: address,
		Python: head + fmt.Sprintf(`import os

os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = os.environ[%s]
import ray  # not earlier: it reads these variables

ray.init(%s)

# When the work is done: dockerparallel_deregister()
def dockerparallel_deregister():
    ray.shutdown()
`, literalQuote(managed.PasswordVariable), literalQuote(address)),
		Shell: head + fmt.Sprintf(`export RAY_AUTH_MODE=token RAY_AUTH_TOKEN="${%s:?is not set}"
export RAY_API_SERVER_ADDRESS=%s
ray job list
# For example: ray job submit --working-dir . -- python script.py

# When the work is done: dockerparallel_deregister
dockerparallel_deregister() {
  unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_API_SERVER_ADDRESS
}
`, managed.PasswordVariable, shellQuote(cmp.Or(f.Exports[rayDashboardURL], at("http", dashboard)))),
	}
}
