// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package frameworks

import (
	"context"
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// spark is Apache Spark in standalone mode: a master, and workers in which
// applications have their executors. The cluster's password is Spark's shared
// secret.
//
// It is not run in CI: Spark cannot be installed there.
type spark struct{ configured }

var (
	_ managed.Framework    = spark{}
	_ managed.ServerProber = spark{}
	_ managed.IdleTeller   = spark{}
	_ managed.Configured   = spark{}
	_ managed.Exporter     = spark{}
)

// sparkImage has Python, for PySpark. Drivers need the same release.
const sparkImage = "apache/spark:4.1.1-python3"

// sparkUI is the name of the port with the master's pages.
const sparkUI = "ui"

// sparkGrace is the time for executors to finish their tasks and to hand what
// they hold to others. It costs nothing where there are none.
const sparkGrace = 5 * time.Minute

// Memory of the daemons themselves, in MB: Spark's own default for the master,
// and half of that for workers, which only look after executors.
const (
	sparkMasterMemory = 1024
	sparkWorkerMemory = 512
)

// The variables that spark adds to a container.
const (
	// Read by Spark.
	sparkDaemonMemory = "SPARK_DAEMON_MEMORY"
	// Read by the default commands. Properties are lines of a properties file.
	sparkUIPort         = "DOCKERPARALLEL_SPARK_UI_PORT"
	sparkProperties     = "DOCKERPARALLEL_SPARK_PROPERTIES"
	sparkAuthentication = "DOCKERPARALLEL_SPARK_AUTHENTICATION"
	sparkPool           = "DOCKERPARALLEL_SPARK_POOL"
	sparkCores          = "DOCKERPARALLEL_SPARK_CORES"
	sparkMemory         = "DOCKERPARALLEL_SPARK_MEMORY"
	sparkWorkDirectory  = "DOCKERPARALLEL_SPARK_WORK_DIRECTORY"
)

// sparkAsUser runs the script in its first argument. The official images begin
// as root, and leave it to what they run to become the user that they have for
// Spark.
const sparkAsUser = "if [ \"`id -u`\" -eq 0 ] && command -v gosu >/dev/null 2>&1 && id spark >/dev/null 2>&1; then\n" +
	"  exec gosu spark sh -c \"$1\" spark\n" +
	"fi\n" +
	"exec sh -c \"$1\" spark\n"

// sparkRun is the script for both roles: before is what is only the role's in
// the properties and arguments, leave what happens between the stop signal and
// the end.
//
// Spark reads the secret from a properties file, which is the documented way
// that neither shows it in the list of processes nor in a log. The file is
// gone when the container ends, so the shell stays the first process. It looks
// every second, with a wait in between, which a signal interrupts at once;
// see [together].
//
// There is no "$(" in it: that would be one of the core's references.
func sparkRun(class, properties, arguments, leave string) string {
	return `: "${DOCKERPARALLEL_SERVER_PORT:?}"
if [ -n "$SPARK_HOME" ]; then
  launcher=$SPARK_HOME/bin/spark-class
elif command -v spark-class >/dev/null 2>&1; then
  launcher=spark-class
else
  launcher=/opt/spark/bin/spark-class
fi
leave=
trap 'leave=yes' TERM INT
` + "properties=`mktemp \"${TMPDIR:-/tmp}/dockerparallel-spark.XXXXXX\"` || exit 1" + `
trap 'rm -f "$properties"' EXIT
cat >"$properties" <<END
$` + sparkProperties + `
` + properties + `
$` + sparkAuthentication + `
END
set -- --properties-file "$properties"
` + arguments + `
"$launcher" org.apache.spark.deploy.` + class + ` "$@" &
spark=$!
while [ -z "$leave" ] && kill -0 "$spark" 2>/dev/null; do
  sleep 1 &
  wait "$!"
done
if [ -n "$leave" ]; then
  trap '' TERM INT
` + leave + `  kill -TERM "$spark" 2>/dev/null
fi
code=0
wait "$spark" || code=$?
if [ -n "$leave" ] && [ "$code" -eq 143 ]; then
  code=0 # SIGTERM, which was our own
fi
exit "$code"
`
}

// sparkMaster starts the master. If a port was taken it ends, where Spark
// would take another one that nobody knows. Spark's REST server for submitting
// knows no secret.
func sparkMaster() string {
	return sparkRun("master.Master", `spark.port.maxRetries=0
spark.master.rest.enabled=false`, `if [ -n "$DOCKERPARALLEL_SERVER_HOST" ]; then
  set -- "$@" --host "$DOCKERPARALLEL_SERVER_HOST"
fi
set -- "$@" --port "$DOCKERPARALLEL_SERVER_PORT" --webui-port "${`+sparkUIPort+`:?}"`, "")
}

// sparkWorker starts one of Spark's workers, which stands for all workers of
// the container. Its id tells pool, container and number; %s is a timestamp.
//
// A worker that is to leave gets no more executors and tells its master, which
// has the applications move away from its executors. Spark's worker goes on
// after that, so the shell looks when the last one, which is a child of the
// worker, has ended.
func sparkWorker() string {
	return sparkRun("worker.Worker", `spark.worker.idPattern=${`+sparkPool+`:?}:${DOCKERPARALLEL_CONTAINER:?}:${DOCKERPARALLEL_WORKERS:?}:%s`,
		`set -- "$@" --webui-port 0 --cores "${`+sparkCores+`:?}"
if [ -n "$`+sparkMemory+`" ]; then
  set -- "$@" --memory "$`+sparkMemory+`"
fi
if [ -n "$`+sparkWorkDirectory+`" ]; then
  set -- "$@" --work-dir "$`+sparkWorkDirectory+`"
fi
set -- "$@" "${DOCKERPARALLEL_SERVER_URL:?}"
executors() {
  for stat in /proc/[0-9]*/stat; do
    { read -r process name state parent rest <"$stat"; } 2>/dev/null || continue
    if [ "$parent" = "$spark" ] && [ "$state" != Z ]; then
      return 0
    fi
  done
  return 1
}`, `  kill -PWR "$spark" 2>/dev/null
  while executors && kill -0 "$spark" 2>/dev/null; do
    sleep 1 &
    wait "$!"
  done
`)
}

func sparkOptions() []Option {
	return []Option{
		{
			Name: "properties", Type: Strings, Roles: both(), Check: checkSparkProperty,
			Description: "More of Spark's properties for the daemon, each as `name=value`, such as `spark.deploy.defaultCores=4` for the server or `spark.worker.cleanup.enabled=true` for the workers. " +
				"What `spark-defaults.conf` in the image says does not hold. Default: none." + untested,
		},
		{
			Name: "daemon_memory", Type: Int, Roles: both(), Check: checkAtLeast("Spark cannot start with", 128, "MB"),
			Description: fmt.Sprintf("Memory of the master, or of the process that looks after a container's executors, in MB. Default: `%d` for the server and `%d` for the workers.", sparkMasterMemory, sparkWorkerMemory) + untested,
		},
		{
			Name: "work_directory", Type: String, Roles: ofWorker(),
			Description: "The folder in the container where workers keep their applications' files and logs: an absolute path. Default: `work` in Spark's own folder." + untested,
			Check: func(value any) string {
				if dir, _ := value.(string); !path.IsAbs(dir) {
					return fmt.Sprintf("%q is not an absolute path: begin it with \"/\".", dir)
				}
				return ""
			},
		},
	}
}

func checkSparkProperty(value any) string {
	s, _ := value.(string)
	if !regexp.MustCompile(`^spark\.[A-Za-z0-9_.-]+=[^\x00-\x1f]*$`).MatchString(s) {
		return fmt.Sprintf("%q is not one of Spark's properties: write it as \"spark.name=value\".", s)
	}
	name, _, _ := strings.Cut(s, "=")
	ours := []string{"spark.port.maxRetries", "spark.master.rest.enabled", "spark.worker.idPattern"}
	if strings.HasPrefix(name, "spark.authenticate") || slices.Contains(ours, name) {
		return fmt.Sprintf("The property %s is set by the framework itself: remove it.", name)
	}
	return ""
}

// Name implements managed.Framework.
func (spark) Name() string { return "spark" }

// Defaults implements managed.Framework.
func (spark) Defaults(role managed.Role) managed.Defaults {
	d := managed.Defaults{
		Image:      sparkImage,
		Command:    []string{"sh", "-c", sparkAsUser, "spark", sparkWorker()},
		Hardware:   hardware(role),
		MaxWorkers: 1,
		StopSignal: stopSignal,
		StopGrace:  sparkGrace,
	}
	if role == managed.RoleServer {
		d.Command = []string{"sh", "-c", sparkAsUser, "spark", sparkMaster()}
		d.Port = 7077
		d.Ports = []managed.Port{{Name: sparkUI, Number: 8080}}
		// A quarter of a core starts Java in a minute.
		d.Hardware.CPU = 1024
		d.StopGrace = stopGrace
	}
	return d
}

// HasPassword implements managed.Framework.
func (spark) HasPassword() bool { return true }

// URL implements managed.Framework. The secret is never in there.
func (spark) URL(host string, port int, _ managed.Secret) string {
	return "spark://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// Environment implements managed.Framework. Only a server from elsewhere has
// no password.
func (s spark) Environment(role managed.Role, f managed.Facts) managed.Environment {
	properties := []string{"spark.ui.killEnabled=false"} // its pages ask nobody for the secret
	memory := sparkMasterMemory
	if role == managed.RoleWorker {
		properties = []string{"spark.decommission.enabled=true"}
		memory = sparkWorkerMemory
	}
	for _, p := range s.values.strings("properties") {
		name, value, _ := strings.Cut(p, "=")
		properties = append(properties, name+"="+javaProperty(value))
	}
	if s.values.has("daemon_memory") {
		memory = s.values.integer("daemon_memory")
	}
	authentication := "spark.authenticate=false"
	if f.Password != "" {
		authentication = "spark.authenticate=true\nspark.authenticate.secret=" + javaProperty(f.Password.Reveal())
	}
	env := managed.Environment{
		Plain: map[string]string{
			sparkProperties:   strings.Join(properties, "\n"),
			sparkDaemonMemory: strconv.Itoa(memory) + "m",
		},
		Secret: map[string]managed.Secret{sparkAuthentication: managed.Secret(authentication)},
	}
	if role == managed.RoleServer {
		env.Plain[sparkUIPort] = strconv.Itoa(f.Ports[sparkUI])
		return env
	}
	env.Plain[sparkPool] = sparkPoolName(f)
	env.Plain[sparkCores] = strconv.Itoa(coresOf(f))
	env.Plain[sparkMemory] = ""
	// What the daemon leaves to executors. A small container gives them half:
	// Java seldom takes all that it may.
	if all := max(1, f.Workers) * f.Hardware.Memory; all > 0 {
		env.Plain[sparkMemory] = strconv.Itoa(max(1, all/2, all-memory)) + "m"
	}
	env.Plain[sparkWorkDirectory] = s.values.str("work_directory")
	return env
}

// sparkPoolName begins the ids of all workers of f's pool; see sparkWorker.
// Namespaces, clusters, pools and containers have no colon.
func sparkPoolName(f managed.Facts) string {
	return "dockerparallel:" + f.Namespace + ":" + f.Cluster + ":" + f.Pool
}

// javaProperty writes a value for a properties file. What is not a letter, a
// digit or a plain mark is escaped, so that nothing on the way can take it for
// something else.
func javaProperty(s string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		if unit < 0x80 && (unit >= '0' && unit <= '9' || unit >= 'A' && unit <= 'Z' || unit >= 'a' && unit <= 'z' || strings.ContainsRune("._/:,-", rune(unit))) {
			b.WriteByte(byte(unit))
		} else {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// sparkState is what the master tells of itself.
type sparkState struct {
	Status  string `json:"status"`
	Workers []struct {
		ID        string `json:"id"`
		State     string `json:"state"`
		CoresUsed int    `json:"coresused"`
	} `json:"workers"`
}

func sparkAsk(ctx context.Context, dial managed.DialFunc) (state sparkState, server httpServer, err error) {
	server = httpServer{dial: dial, port: sparkUI, what: "the Spark master"}
	err = server.get(ctx, "/json/", &state)
	return state, server, err
}

// ProbeServer implements managed.ServerProber: the master says that it works,
// and listens where workers and drivers connect.
func (spark) ProbeServer(ctx context.Context, dial managed.DialFunc, _ managed.Facts) error {
	state, server, err := sparkAsk(ctx, dial)
	if err != nil {
		return err
	}
	if state.Status != "ALIVE" {
		return managed.Errorf(managed.ClassTransient, "", "the Spark master is not ready: its status is %q", state.Status)
	}
	return server.listens(ctx)
}

// RegisteredWorkers implements managed.WorkerLister. Spark 4 or newer lets
// workers choose their ids; others are not counted.
func (spark) RegisteredWorkers(ctx context.Context, dial managed.DialFunc, f managed.Facts) ([]managed.RegisteredWorker, error) {
	state, _, err := sparkAsk(ctx, dial)
	if err != nil {
		return nil, err
	}
	var workers []managed.RegisteredWorker
	for _, w := range state.Workers {
		rest, ours := strings.CutPrefix(w.ID, sparkPoolName(f)+":")
		parts := strings.Split(rest, ":") // container, workers, timestamp
		if !ours || len(parts) != 3 || w.State != "ALIVE" {
			continue
		}
		if n, err := strconv.Atoi(parts[1]); err == nil {
			workers = append(workers, managed.RegisteredWorker{Container: parts[0], Workers: n, Busy: w.CoresUsed > 0})
		}
	}
	return workers, nil
}

// TellsIdle implements managed.IdleTeller. A worker is busy while an
// application has executors there, whether or not they run a task.
func (spark) TellsIdle() {}

// Exports implements managed.Exporter.
func (spark) Exports(ports map[string]managed.Endpoint) map[string]string {
	if page := exported(ports[sparkUI], "http", ""); page != "" {
		return map[string]string{sparkUI: page}
	}
	return nil
}
