// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// celery is Celery with a Redis server as its broker and result backend. The
// server is the one of redisQueue; a container of workers is one Celery node,
// whose pool has as many processes (or threads) as there are workers.
//
// Should a process of the pool crash, its node starts another: Celery's own
// way. The task it had fails with WorkerLostError, the container goes on.
type celery struct {
	configured
	redisQueue
}

var (
	_ managed.Framework    = celery{}
	_ managed.ServerProber = celery{}
	_ managed.IdleTeller   = celery{}
	_ managed.Drainer      = celery{}
	_ managed.Configured   = celery{}
)

// The variables that celery adds to a container.
const (
	// Celery takes them before anything that the app sets, but for a backend
	// in the call that makes the app.
	celeryBroker  = "CELERY_BROKER_URL"
	celeryResults = "CELERY_RESULT_BACKEND"
	// The defaults of celery's --broker and --result-backend, which go before
	// even those: an image that has them would send its workers elsewhere.
	celeryBrokerOption  = "BROKER_URL"
	celeryResultsOption = "RESULT_BACKEND"
	// The first part of the names of a pool's nodes.
	celeryNode = "DOCKERPARALLEL_CELERY_NODE"
)

// The pools, and which of them are special here.
const (
	celeryPrefork = "prefork"
	celerySolo    = "solo"
)

func celeryPools() []string {
	return []string{celeryPrefork, "threads", celerySolo, "gevent", "eventlet"}
}

func celeryLevels() []string {
	return []string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
}

const (
	// celeryQueue is Celery's own default, task_default_queue.
	celeryQueue = "celery"
	// celeryGrace is how long a node may take to finish the tasks that have
	// begun. Celery acknowledges a task when it begins, so one that is cut off
	// is lost. An idle node leaves at once, whatever the grace.
	celeryGrace = 5 * time.Minute
)

func celeryOptions() []Option {
	return []Option{
		{
			Name: "app", Type: String, Roles: ofWorker(), Required: true,
			Description: "The Celery app, as for `celery --app`: the dotted path of a module, `tasks` or `proj.celery`, or of an attribute in " +
				"it, `proj.main:app`. It must be importable in the workers' containers. The app should set neither broker nor result backend: they come from the environment.",
			Check: checkCeleryApp,
		},
		{
			Name: "queues", Type: Strings, Roles: ofWorker(),
			Description: "The queues that the workers take tasks from. Default `[\"celery\"]`, Celery's own default.",
			Check:       checkCeleryQueue,
		},
		{
			Name: "pool", Type: String, Roles: ofWorker(),
			Description: "How a container runs its workers: `\"prefork\"` (the default) in processes, `\"threads\"` in threads of one process, `\"gevent\"` and " +
				"`\"eventlet\"` in green threads (the image needs that package), `\"solo\"` each in a Celery process of its own, without a parent.",
			Check: checkOneOf("the pool", celeryPools()),
		},
		{
			Name: "log_level", Type: String, Roles: ofWorker(),
			Description: "What the workers log: `\"DEBUG\"`, `\"INFO\"` (each task and its result), `\"WARNING\"` (the default), `\"ERROR\"` or `\"CRITICAL\"`.",
			Check:       checkOneOf("the log level", celeryLevels()),
		},
	}
}

func checkCeleryApp(value any) string {
	const name = `[A-Za-z_][A-Za-z0-9_]*`
	s, _ := value.(string)
	if !regexp.MustCompile(`^` + name + `(\.` + name + `)*(:` + name + `(\.` + name + `)*)?$`).MatchString(s) {
		return fmt.Sprintf("%q is not the path of a Python module: write it as for import, \"tasks\" or \"proj.celery\", with \":app\" at the end for an attribute of the module.", s)
	}
	return ""
}

func checkCeleryQueue(value any) string {
	s, _ := value.(string)
	if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$`).MatchString(s) {
		return fmt.Sprintf("%q cannot be a queue here: use letters, digits and the marks _ . : / -, and begin with none of the last four.", s)
	}
	return ""
}

func checkOneOf(what string, allowed []string) func(any) string {
	return func(value any) string {
		if s, _ := value.(string); !slices.Contains(allowed, s) {
			return fmt.Sprintf("%s cannot be %q: choose one of %s.", what, s, strings.Join(allowed, ", "))
		}
		return ""
	}
}

func (c celery) queues() []string {
	if q := c.values.strings("queues"); len(q) > 0 {
		return q
	}
	return []string{celeryQueue}
}

func (c celery) pool() string {
	if p := c.values.str("pool"); p != "" {
		return p
	}
	return celeryPrefork
}

func (c celery) logLevel() string {
	if l := c.values.str("log_level"); l != "" {
		return l
	}
	return "WARNING"
}

// Name implements managed.Framework.
func (celery) Name() string { return "celery" }

// Defaults implements managed.Framework. There is no official image: the app
// has to be in it.
func (c celery) Defaults(role managed.Role) managed.Defaults {
	d := c.redisQueue.Defaults(role)
	if role == managed.RoleWorker {
		d.Command = []string{"sh", "-c", c.worker()}
		d.StopGrace = celeryGrace
	}
	return d
}

// worker starts the node, or, with the pool "solo", which knows one worker
// only, as many nodes as there are workers. Debian has no program "celery", and
// its module is one of its own Python, which need not be the first on the PATH.
func (c celery) worker() string {
	node := func(name, workers string) string {
		return `"$@" --app ` + shellQuote(c.values.str("app")) + ` worker --hostname "` + name + `@$DOCKERPARALLEL_CONTAINER"` +
			` --queues ` + shellQuote(strings.Join(c.queues(), ",")) + ` --pool ` + c.pool() + ` --concurrency "` + workers + `" --loglevel ` + c.logLevel()
	}
	script := `: "${DOCKERPARALLEL_CONTAINER:?}" "${DOCKERPARALLEL_WORKERS:?}"
if command -v celery >/dev/null 2>&1; then
  set -- celery
elif python3 -c 'import celery' 2>/dev/null; then
  set -- python3 -m celery
else
  set -- /usr/bin/python3 -m celery
fi
`
	if c.pool() == celerySolo {
		return script + together(node("$"+celeryNode+".$worker", "1"))
	}
	return script + "exec " + node("$"+celeryNode, "$DOCKERPARALLEL_WORKERS") + "\n"
}

// Environment implements managed.Framework.
func (c celery) Environment(role managed.Role, f managed.Facts) managed.Environment {
	if role == managed.RoleServer {
		return c.redisQueue.Environment(role, f)
	}
	url := managed.Secret(c.URL(f.Host, f.Port, f.Password))
	return managed.Environment{
		Plain: map[string]string{celeryNode: celeryPoolName(f)},
		Secret: map[string]managed.Secret{
			celeryBroker: url, celeryResults: url,
			celeryBrokerOption: url, celeryResultsOption: url,
		},
	}
}

// celeryPoolName begins the names of the nodes of f's pool. Namespaces,
// clusters and pools have no dots.
func celeryPoolName(f managed.Facts) string {
	return f.Namespace + "." + f.Cluster + "." + f.Pool
}

// celeryContainer is the container of a node of the pool of that name: "" if
// the node is of another pool.
func celeryContainer(pool, node string) string {
	container, _ := celeryNodeParts(pool, node)
	return container
}

// isSoloCeleryNode tells by its name whether a node has the pool "solo",
// whatever the options are now.
func isSoloCeleryNode(pool, node string) bool {
	container, number := celeryNodeParts(pool, node)
	return container != "" && number != ""
}

// celeryNodeParts are the container of a node and, with the pool "solo", of
// which a container has several nodes, the node's number.
func celeryNodeParts(pool, node string) (container, number string) {
	rest, ok := strings.CutPrefix(node, pool)
	if !ok {
		return "", ""
	}
	number, container, ok = strings.Cut(rest, "@")
	if !ok {
		return "", ""
	}
	if number != "" { // ".2"
		digits, dotted := strings.CutPrefix(number, ".")
		if _, err := strconv.ParseUint(digits, 10, 31); err != nil || !dotted {
			return "", ""
		}
	}
	return container, number
}

// Client implements managed.Framework. Celery is for Python: there is nothing
// for R.
func (c celery) Client(f managed.ClientFacts) managed.Client {
	// The URL around the password, which the client puts in.
	before, after, _ := strings.Cut(c.URL(f.Host, f.Port, "PASSWORD"), "PASSWORD")
	return managed.Client{
		URL: c.URL(f.Host, f.Port, ""),
		Python: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s. An app that is imported after this uses the cluster, too, unless it names a broker or a result backend itself.
import os
from urllib.parse import quote

_password = quote(os.fsencode(os.environ[%[4]s]), safe="")
os.environ["CELERY_BROKER_URL"] = os.environ["CELERY_RESULT_BACKEND"] = %[3]s + _password + %[5]s

from celery import Celery

# Sends tasks by name, without their code: dockerparallel_app.send_task("tasks.add", [1, 2], queue="celery").get(timeout=60)
dockerparallel_app = Celery(%[2]s, broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])
with dockerparallel_app.connection_for_write() as _connection:
    _connection.ensure_connection(max_retries=3)

# When the work is done: dockerparallel_deregister()
def dockerparallel_deregister():
    dockerparallel_app.close()
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        os.environ.pop(name, None)
`, f.Cluster, literalQuote(f.Cluster), literalQuote(before), literalQuote(managed.PasswordVariable), literalQuote(after)),
		Shell: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s.
: "${%[3]s:?is not set}"
CELERY_BROKER_URL=%[2]s`+"`python3 -c 'import os, urllib.parse; print(urllib.parse.quote(os.environb[b\"%[3]s\"], safe=\"\"))'`"+`%[4]s
export CELERY_BROKER_URL CELERY_RESULT_BACKEND="$CELERY_BROKER_URL"

# Now, for example (on Debian, celery is python3 -m celery):
#   celery inspect ping
#   celery call tasks.add --args='[1, 2]'    # prints the task's id
#   celery result ID

# When the work is done: dockerparallel_deregister
dockerparallel_deregister() {
  unset CELERY_BROKER_URL CELERY_RESULT_BACKEND
}
`, f.Cluster, shellQuote(before), managed.PasswordVariable, shellQuote(after)),
	}
}
