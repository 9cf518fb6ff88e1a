// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// rq is RQ (Redis Queue, python-rq.org): Python functions as jobs in a Redis
// server. The server is that of redisQueue; the workers are "rq worker".
type rq struct {
	redisQueue
	configured
}

var (
	_ managed.Framework    = rq{}
	_ managed.ServerProber = rq{}
	_ managed.IdleTeller   = rq{}
	_ managed.Configured   = rq{}
)

// rqURL is read by the rq command.
const rqURL = "RQ_REDIS_URL"

// Options of rq.
const (
	rqQueues    = "queues"
	rqBurst     = "burst"
	rqScheduler = "scheduler"
)

// rqStopGrace is the time that a job has to end when its worker is asked to
// leave. RQ fails a job that takes longer than its timeout, 3 minutes unless
// the job says otherwise, and kills one that does not heed that a minute
// later: a job of the usual kind has ended by then in any case. An idle worker
// leaves at once.
const rqStopGrace = 5 * time.Minute

func rqOptions() []Option {
	return []Option{
		{
			Name: rqQueues, Type: Strings, Roles: ofWorker(), Check: checkRQQueue,
			Description: "The queues that the workers take jobs from, the first ones before the others. Default: one queue, which has the cluster's name.",
		},
		{
			Name: rqBurst, Type: Bool, Roles: ofWorker(),
			Description: "Whether the workers end when there is no job left (`rq worker --burst`). Use it with `on_exit = \"accept\"`, or they are started anew. Default: `false`.",
		},
		{
			Name: rqScheduler, Type: Bool, Roles: ofWorker(),
			Description: "Whether the workers also put jobs into their queues whose time has come, from `enqueue_in`, `enqueue_at` and retries with an interval (`rq worker --with-scheduler`). " +
				"One pool with it is enough for a queue. Default: `false`.",
		},
	}
}

// checkRQQueue refuses names that rq would take for something else: an option,
// or two queues where it writes several with commas. "$" could be one of the
// core's references.
func checkRQQueue(value any) string {
	name, _ := value.(string)
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, ",$") ||
		strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Sprintf("%q is no name for a queue: use a name without blanks, commas and \"$\" that does not begin with \"-\".", name)
	}
	return ""
}

// Name implements managed.Framework.
func (rq) Name() string { return "rq" }

// Defaults implements managed.Framework. There is no image with everybody's
// functions in it, so workers have none.
func (r rq) Defaults(role managed.Role) managed.Defaults {
	d := r.redisQueue.Defaults(role)
	if role == managed.RoleWorker {
		d.Command = append([]string{"sh", "-c", r.worker(), "rq"}, r.values.strings(rqQueues)...)
		d.StopGrace = rqStopGrace
	}
	return d
}

// worker is the script that runs a container's workers. It finds the queues in
// its arguments. Each worker registers under a name from which
// RegisteredWorkers gets the container.
func (r rq) worker() string {
	command := `rq worker --name "$` + redisClientName + `:$` + managed.EnvContainer + `:$worker"`
	if r.values.boolean(rqBurst) {
		command += " --burst"
	}
	if r.values.boolean(rqScheduler) {
		command += " --with-scheduler"
	}
	script := `: "${` + rqURL + `:?}" "${` + redisClientName + `:?}" "${` + managed.EnvContainer + `:?}"` + "\n"
	if len(r.values.strings(rqQueues)) == 0 {
		script += `set -- "${` + managed.EnvQueue + `:?}"` + "\n"
	}
	return script + together(command+` "$@"`)
}

// Environment implements managed.Framework.
func (r rq) Environment(role managed.Role, f managed.Facts) managed.Environment {
	env := r.redisQueue.Environment(role, f)
	if role == managed.RoleWorker {
		env.Secret[rqURL] = managed.Secret(r.URL(f.Host, f.Port, f.Password))
	}
	return env
}

// The registry that RQ has in redis: a set with the keys of all workers, and
// for each of them a hash, which expires some minutes after its last sign of
// life.
const (
	rqWorkers   = "rq:workers"
	rqWorkerKey = "rq:worker:"
	rqBusy      = "busy"
	// rqSearched is how many keys a server may have for its workers to be looked
	// for among all of them, so many at a time.
	rqSearched = 200_000
	rqStep     = 10_000
)

// RegisteredWorkers implements managed.WorkerLister. A worker whose hash is
// gone, or says that it has left, is not listed.
func (rq) RegisteredWorkers(ctx context.Context, dial managed.DialFunc, f managed.Facts) ([]managed.RegisteredWorker, error) {
	var workers []managed.RegisteredWorker
	err := withRedis(ctx, dial, f.Password, func(client *redis.Client) error {
		// For a pipeline, the client itself would first try another connection.
		c := client.Conn()
		defer c.Close()
		keys, err := rqKeys(ctx, c, rqWorkerKey+redisPoolName(f)+":")
		if err != nil {
			return err
		}
		hashes := make([]*redis.SliceCmd, len(keys))
		_, err = c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, key := range keys {
				hashes[i] = p.HMGet(ctx, key, "last_heartbeat", "death", "state")
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, hash := range hashes {
			heartbeat, death, state := hash.Val()[0], hash.Val()[1], hash.Val()[2]
			container, ok := rqContainer(keys[i], f)
			if ok && heartbeat != nil && death == nil {
				workers = append(workers, managed.RegisteredWorker{Container: container, Busy: state == rqBusy})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return workers, nil
}

// rqKeys are the keys of the workers that begin with prefix, which has nothing
// in it that a pattern would take for more than itself. RQ's workers go on when
// their server was restarted empty, but write their hash only, and not the set
// again: so all keys are looked through as well, unless there are very many.
func rqKeys(ctx context.Context, c *redis.Conn, prefix string) ([]string, error) {
	keys, err := c.SMembers(ctx, rqWorkers).Result()
	if err != nil {
		return nil, err
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) })
	size, err := c.DBSize(ctx).Result()
	if err != nil {
		return nil, err
	}
	if size <= rqSearched {
		all := c.Scan(ctx, 0, prefix+"*", rqStep).Iterator()
		for all.Next(ctx) {
			keys = append(keys, all.Val())
		}
		if err := all.Err(); err != nil {
			return nil, err
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// rqContainer is the container that a worker's key names, if the worker is one
// of f's pool.
func rqContainer(key string, f managed.Facts) (string, bool) {
	name, ok := strings.CutPrefix(key, rqWorkerKey+redisPoolName(f)+":")
	if !ok {
		return "", false
	}
	// What follows the last colon is the worker's number in its container.
	i := strings.LastIndexByte(name, ':')
	if i <= 0 {
		return "", false
	}
	return name[:i], true
}

// TellsIdle implements managed.IdleTeller.
func (rq) TellsIdle() {}

// Client implements managed.Framework. There is no client for R.
func (r rq) Client(f managed.ClientFacts) managed.Client {
	return managed.Client{
		URL: r.URL(f.Host, f.Port, ""),
		Python: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s: its name is also the name of its job queue.
import os
import redis
import rq

connection = redis.Redis(host=%[3]s, port=%[4]d, password=os.environ[%[5]s])
connection.ping()
queue = rq.Queue(%[2]s, connection=connection)
# For example: job = queue.enqueue("module.function", 1, 2)

# When the work is done: dockerparallel_deregister()
def dockerparallel_deregister():
    connection.close()
`, f.Cluster, literalQuote(f.Cluster), literalQuote(f.Host), f.Port, literalQuote(managed.PasswordVariable)),
		// rq takes the password from a URL only, where each of its bytes is safe as
		// %XX. printf is the shell's own: no process shows the password.
		Shell: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s: its name is also the name of its job queue.
: "${%[5]s:?is not set}"
export DOCKERPARALLEL_QUEUE=%[2]s
export RQ_REDIS_URL="redis://default:$(printf %%s "$%[5]s" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%%&/g')@"%[3]s
rq info "$DOCKERPARALLEL_QUEUE"

# When the work is done: dockerparallel_deregister
dockerparallel_deregister() {
  unset DOCKERPARALLEL_QUEUE RQ_REDIS_URL
}
`, f.Cluster, shellQuote(f.Cluster), shellQuote(strings.TrimPrefix(r.URL(f.Host, f.Port, ""), "redis://")), f.Port, managed.PasswordVariable),
	}
}
