// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// redisQueue is a Redis server as a job queue, for workers that bring their
// own way to use it. The server keeps nothing on disk: a queue whose server
// has died is gone.
type redisQueue struct{}

var (
	_ managed.Framework    = redisQueue{}
	_ managed.ServerProber = redisQueue{}
	_ managed.WorkerLister = redisQueue{}
)

// The variables that redisQueue adds to a container.
const (
	// The password as a quoted argument of redis' configuration language.
	redisRequirePass = "DOCKERPARALLEL_REDIS_REQUIREPASS"
	// The name that a worker gives its connection (CLIENT SETNAME) to be counted.
	redisClientName = "DOCKERPARALLEL_CLIENT_NAME"
	// Read by redis-cli.
	redisCLIAuth = "REDISCLI_AUTH"
	// Read by redux in R and by many other clients. No user is named in it:
	// redux refuses a URL that names one (github.com/richfitz/redux/issues/62).
	redisURL  = "REDIS_URL"
	redisHost = "REDIS_HOST"
	redisPort = "REDIS_PORT"
)

// redisServer starts redis-server with its configuration on stdin, where,
// unlike in its arguments, the password is not to be seen in the list of
// processes. It is exec all along, so that redis-server gets the signals, and
// runs in dash and busybox as well as in bash.
//
// In the official images it goes through their entrypoint, which gives up
// root. Where there is none, as on a plain machine, "$@" is nothing.
//
// It listens where the core says. Should the password ever be empty,
// protected mode refuses all but the local host. A short keepalive has the
// connections of a worker whose machine is lost forgotten soon, so that they
// are not counted.
//
// There is no "$(" in it: that would be one of the core's references.
const redisServer = `: "${DOCKERPARALLEL_SERVER_PORT:?}" "${` + redisRequirePass + `:?}"
set --
if command -v docker-entrypoint.sh >/dev/null 2>&1; then
  set -- docker-entrypoint.sh
fi
exec "$@" redis-server - <<END
bind ${DOCKERPARALLEL_SERVER_HOST:-0.0.0.0}
port $DOCKERPARALLEL_SERVER_PORT
protected-mode yes
daemonize no
save ""
appendonly no
tcp-keepalive 60
requirepass $` + redisRequirePass + `
END
`

// Name implements managed.Framework.
func (redisQueue) Name() string { return "redis" }

// Defaults implements managed.Framework. What the workers run only the user
// knows.
func (redisQueue) Defaults(role managed.Role) managed.Defaults {
	d := managed.Defaults{
		Hardware:   hardware(role),
		MaxWorkers: 1,
		StopSignal: stopSignal,
		StopGrace:  stopGrace,
	}
	if role == managed.RoleServer {
		d.Image = "redis:7"
		// The entrypoint stays the image's own.
		d.Command = []string{"sh", "-c", redisServer}
		d.Port = 6379
	}
	return d
}

// HasPassword implements managed.Framework.
func (redisQueue) HasPassword() bool { return true }

// URL implements managed.Framework. It names the user, which redis calls
// "default" where only a password is set: redis-cli -u takes a URL without one
// for a user with an empty name, and is refused.
func (redisQueue) URL(host string, port int, password managed.Secret) string {
	return redisURLOf("default", host, port, password)
}

// redisURLOf makes a URL with a user, who may be "".
func redisURLOf(user, host string, port int, password managed.Secret) string {
	auth := ""
	if p := password.Reveal(); p != "" {
		auth = user + ":" + percentEncode(p) + "@"
	}
	return "redis://" + auth + net.JoinHostPort(host, strconv.Itoa(port)) + "/0"
}

// Environment implements managed.Framework.
func (redisQueue) Environment(role managed.Role, f managed.Facts) managed.Environment {
	if role == managed.RoleServer {
		return managed.Environment{
			Secret: map[string]managed.Secret{
				redisRequirePass: managed.Secret(redisQuote(f.Password.Reveal())),
				// For people who run redis-cli in the server's container.
				redisCLIAuth: f.Password,
			},
		}
	}
	return managed.Environment{
		Plain: map[string]string{
			redisHost:       f.Host,
			redisPort:       strconv.Itoa(f.Port),
			redisClientName: redisPoolName(f),
		},
		Secret: map[string]managed.Secret{
			redisCLIAuth: f.Password,
			redisURL:     managed.Secret(redisURLOf("", f.Host, f.Port, f.Password)),
		},
	}
}

// Client implements managed.Framework.
func (r redisQueue) Client(f managed.ClientFacts) managed.Client {
	return managed.Client{
		URL: r.URL(f.Host, f.Port, ""),
		R: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s: its name is also the name of its job queue.
queue <- %[2]s
client <- redux::hiredis(host = %[3]s, port = %[4]dL, password = Sys.getenv(%[5]s))
invisible(client$PING())

# When the work is done: dockerparallel_deregister()
dockerparallel_deregister <- function() {
  rm(client, inherits = TRUE)
  invisible(gc()) # closes the connection
}
`, f.Cluster, literalQuote(f.Cluster), literalQuote(f.Host), f.Port, literalQuote(managed.PasswordVariable)),
		Python: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s: its name is also the name of its job queue.
import os
import redis

queue = %[2]s
client = redis.Redis(host=%[3]s, port=%[4]d, password=os.environ[%[5]s])
client.ping()

# When the work is done: dockerparallel_deregister()
def dockerparallel_deregister():
    client.close()
`, f.Cluster, literalQuote(f.Cluster), literalQuote(f.Host), f.Port, literalQuote(managed.PasswordVariable)),
		Shell: tunnelNote(f) + fmt.Sprintf(`# Cluster %[1]s: its name is also the name of its job queue.
export REDISCLI_AUTH="${%[5]s:?is not set}"
export DOCKERPARALLEL_QUEUE=%[2]s REDIS_HOST=%[3]s REDIS_PORT=%[4]d
redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" PING

# When the work is done: dockerparallel_deregister
dockerparallel_deregister() {
  unset REDISCLI_AUTH DOCKERPARALLEL_QUEUE REDIS_HOST REDIS_PORT
}
`, f.Cluster, shellQuote(f.Cluster), shellQuote(f.Host), f.Port, managed.PasswordVariable),
	}
}

// redisPoolName is the name of a connection that counts as a worker of f's
// pool. It has no space, which redis would refuse, and namespaces, clusters
// and pools have no colon.
func redisPoolName(f managed.Facts) string {
	return "dockerparallel:" + f.Namespace + ":" + f.Cluster + ":" + f.Pool
}

// redisQuote makes an argument of redis' configuration language. Every byte
// is escaped: the result then holds nothing that redis, a shell or anything
// on the way between them could take for something else.
func redisQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	b.WriteByte('"')
	return b.String()
}
