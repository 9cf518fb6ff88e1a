// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package frameworks

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// sparkAnswers as the master's pages do at /json/.
func sparkAnswers(status, workers string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/json/" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"url": "spark://10.0.0.2:7077", "workers": [`+workers+`], "aliveworkers": 1, "cores": 4, "coresused": 0, "memory": 1024, "memoryused": 0,
			"resources": [], "resourcesused": [], "activeapps": [], "completedapps": [], "activedrivers": [], "completeddrivers": [], "status": "`+status+`"}`)
	}
}

func TestSparkProbe(t *testing.T) {
	if err := (spark{}).ProbeServer(t.Context(), apiDial(t, sparkUI, sparkAnswers("ALIVE", "")), managed.Facts{}); err != nil {
		t.Error(err)
	}
	for what, answer := range map[string]http.HandlerFunc{
		"standby": sparkAnswers("STANDBY", ""),
		"another": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) },
		"missing": http.NotFound,
	} {
		if err := (spark{}).ProbeServer(t.Context(), apiDial(t, sparkUI, answer), managed.Facts{}); managed.ClassOf(err) != managed.ClassTransient {
			t.Errorf("%s: %v, class %q", what, err, managed.ClassOf(err))
		}
	}
}

func TestSparkWorkers(t *testing.T) {
	worker := func(id, state string, used int) string {
		return fmt.Sprintf(`{"id": %q, "host": "10.0.0.3", "port": 35001, "webuiaddress": "http://10.0.0.3:35002", "cores": 4, "coresused": %d, "coresfree": %d,
			"memory": 1024, "memoryused": 0, "memoryfree": 1024, "resources": {}, "resourcesused": {}, "resourcesfree": {}, "state": %q, "lastheartbeat": 1}`, id, used, 4-used, state)
	}
	dial := apiDial(t, sparkUI, sparkAnswers("ALIVE", strings.Join([]string{
		worker("dockerparallel:default:sim:big:dp.default.sim.big.1:2:20260101000000", "ALIVE", 4),
		worker("dockerparallel:default:sim:big:dp.default.sim.big.2:1:20260101000000", "ALIVE", 0),
		worker("dockerparallel:default:sim:big:dp.default.sim.big.3:1:20260101000000", "DEAD", 0),
		worker("dockerparallel:default:sim:big:dp.default.sim.big.4:1:20260101000000", "DECOMMISSIONED", 0),
		worker("dockerparallel:default:sim:bigger:dp.default.sim.bigger.1:1:20260101000000", "ALIVE", 0),
		worker("worker-20260101000000-10.0.0.3-35001", "ALIVE", 0), // Spark 3, or somebody else's
	}, ",")))
	got, err := spark{}.RegisteredWorkers(t.Context(), dial, workerFacts)
	want := []managed.RegisteredWorker{{Container: "dp.default.sim.big.1", Workers: 2, Busy: true}, {Container: "dp.default.sim.big.2", Workers: 1}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestSparkPropertyChecks(t *testing.T) {
	for _, good := range []string{"spark.deploy.defaultCores=4", "spark.x=", "spark.x=a=b c"} {
		if wrong := checkSparkProperty(good); wrong != "" {
			t.Errorf("%q is refused: %s", good, wrong)
		}
	}
	for _, bad := range []string{"", "deploy=4", "spark.x", "spark.x y=1", "spark.x=a\nspark.authenticate=false", "spark.authenticate=false", "spark.authenticate.secret=x", "spark.worker.idPattern=x", "spark.master.rest.enabled=true"} {
		if checkSparkProperty(bad) == "" {
			t.Errorf("%q is taken", bad)
		}
	}
}

// fakeSpark prints what it gets. It stands for the daemon's Java: SIGPWR
// decommissions it, SIGTERM ends it as Java ends. If EXECUTOR names a file, it
// has a child that works until there is such a file. It waits without a child
// of its own.
const fakeSpark = `for a in "$@"; do echo "argument $a"; done
stat -c 'mode %a' "$3"
cat "$3"
echo "daemon memory $SPARK_DAEMON_MEMORY"
[ -z "$FAIL" ] || exit "$FAIL"
trap 'echo decommissioned' PWR
trap 'echo terminated; exit 143' TERM
if [ -n "$EXECUTOR" ]; then
  sh -c 'while [ ! -e "$1" ]; do sleep 0.1; done; echo "executor done"' executor "$EXECUTOR" &
fi
mkfifo fifo
exec 3<>fifo
echo ready
while :; do read -r line <&3; done
`

// startSpark runs the script of a role without the first one, which changes
// the user.
func startSpark(t *testing.T, shell []string, role managed.Role, f managed.Facts, more map[string]string) (c *crew, tmp string) {
	t.Helper()
	tmp = t.TempDir()
	env := map[string]string{"PATH": fakeProgram(t, "spark-class", fakeSpark), "TMPDIR": tmp}
	for k, v := range more {
		env[k] = v
	}
	script := spark{}.Defaults(role).Command[4]
	return startContainer(t, append(slices.Clone(shell), "-c", script, "spark"), containerEnv(spark{}, role, f, env)...), tmp
}

func TestSparkCommands(t *testing.T) {
	const secret = `spark.authenticate=true
spark.authenticate.secret=a\u0022b\u005cc\u0027d\u0020e\u0025f\u0024g\u0026h\u002bi/j:k\u0040l\u0023m\u0060n\u0024\u007bo\u007d\u0021\u00e9
`
	local := serverFacts
	local.Host = "127.0.0.1"
	foreign := workerFacts
	foreign.Password, foreign.Workers, foreign.Hardware = "", 1, managed.Hardware{CPU: 100, Memory: 600}
	for _, tc := range []struct {
		what      string
		role      managed.Role
		f         managed.Facts
		arguments string // after --properties-file and its name
		rest      string
	}{
		{"master", managed.RoleServer, serverFacts, "--port 6380 --webui-port 6381",
			"mode 600\nspark.ui.killEnabled=false\nspark.port.maxRetries=0\nspark.master.rest.enabled=false\n" + secret + "daemon memory 1024m\n"},
		{"master on one address", managed.RoleServer, local, "--host 127.0.0.1 --port 6380 --webui-port 6381",
			"mode 600\nspark.ui.killEnabled=false\nspark.port.maxRetries=0\nspark.master.rest.enabled=false\n" + secret + "daemon memory 1024m\n"},
		{"two workers", managed.RoleWorker, workerFacts, "--webui-port 0 --cores 4 --memory 7680m spark://[fd00::7]:6380",
			"mode 600\nspark.decommission.enabled=true\nspark.worker.idPattern=dockerparallel:default:sim:big:dp.default.sim.big.1:2:%s\n" + secret + "daemon memory 512m\n"},
		{"a worker of an open master", managed.RoleWorker, foreign, "--webui-port 0 --cores 1 --memory 300m spark://[fd00::7]:6380",
			"mode 600\nspark.decommission.enabled=true\nspark.worker.idPattern=dockerparallel:default:sim:big:dp.default.sim.big.1:1:%s\nspark.authenticate=false\ndaemon memory 512m\n"},
	} {
		for name, shell := range shells(t) {
			t.Run(tc.what+" in "+name, func(t *testing.T) {
				t.Parallel()
				c, tmp := startSpark(t, shell, tc.role, tc.f, map[string]string{"FAIL": "3"})
				code := c.wait(t, time.Minute)
				class := "org.apache.spark.deploy.master.Master"
				if tc.role == managed.RoleWorker {
					class = "org.apache.spark.deploy.worker.Worker"
				}
				want := "argument " + class + "\nargument --properties-file\nargument FILE\n"
				for a := range strings.FieldsSeq(tc.arguments) {
					want += "argument " + a + "\n"
				}
				got := c.output.String()
				for line := range strings.Lines(got) {
					if strings.HasPrefix(line, "argument "+tmp+"/") {
						got = strings.Replace(got, line, "argument FILE\n", 1)
					}
				}
				if code != 3 || got != want+tc.rest {
					t.Errorf("exit code %d, got\n%s\nwant 3 and\n%s", code, got, want+tc.rest)
				}
				if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
					t.Errorf("it leaves %v, %v", left, err)
				}
			})
		}
	}
}

// TestSparkLeaves: an idle worker leaves at once; one with an executor when
// that has ended; a master without more ado. All end with 0, and leave no file
// with the secret.
func TestSparkLeaves(t *testing.T) {
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end := func(t *testing.T, c *crew, tmp, want string) {
				t.Helper()
				if code := c.wait(t, time.Minute); code != 0 {
					t.Errorf("exit code %d", code)
				}
				if _, got, _ := strings.Cut(c.output.String(), "ready\n"); got != want {
					t.Errorf("after it was ready:\n%s\nwant\n%s", got, want)
				}
				if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
					t.Errorf("it leaves %v, %v", left, err)
				}
			}
			t.Run("master", func(t *testing.T) {
				t.Parallel()
				c, tmp := startSpark(t, shell, managed.RoleServer, serverFacts, nil)
				c.await(t, "ready", 1)
				c.signal(t, syscall.SIGTERM)
				end(t, c, tmp, "terminated\n")
			})
			t.Run("idle worker", func(t *testing.T) {
				t.Parallel()
				c, tmp := startSpark(t, shell, managed.RoleWorker, workerFacts, nil)
				c.await(t, "ready", 1)
				c.signal(t, syscall.SIGTERM)
				end(t, c, tmp, "decommissioned\nterminated\n")
			})
			t.Run("busy worker", func(t *testing.T) {
				t.Parallel()
				done := filepath.Join(t.TempDir(), "done")
				c, tmp := startSpark(t, shell, managed.RoleWorker, workerFacts, map[string]string{"EXECUTOR": done})
				c.await(t, "ready", 1)
				c.signal(t, syscall.SIGTERM)
				c.await(t, "decommissioned", 1)
				c.signal(t, syscall.SIGTERM) // a second one changes nothing
				time.Sleep(1500 * time.Millisecond)
				if strings.Contains(c.output.String(), "terminated") {
					t.Error("it did not wait for its executor")
				}
				if err := os.WriteFile(done, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				end(t, c, tmp, "decommissioned\nexecutor done\nterminated\n")
			})
			t.Run("killed", func(t *testing.T) {
				t.Parallel()
				c, _ := startSpark(t, shell, managed.RoleWorker, workerFacts, nil)
				c.await(t, "ready", 1)
				for _, pid := range c.session(t) {
					if pid == c.cmd.Process.Pid {
						continue
					}
					if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.Contains(string(text), "spark-class") {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
				}
				if code := c.wait(t, time.Minute); code != 137 {
					t.Errorf("exit code %d, want 137", code)
				}
			})
		})
	}
}

// TestSparkAsUser: as root in an image with gosu, Spark is another user.
func TestSparkAsUser(t *testing.T) {
	script := []string{"-c", sparkAsUser, "spark", `echo "runs as $1"`}
	for _, tc := range []struct{ uid, want string }{{"0", "gosu spark sh\n"}, {"1000", "runs as \n"}} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"id":   "[ \"$1\" = -u ] && echo " + tc.uid + "\nexit 0\n",
			"gosu": `echo "gosu $1 $2"` + "\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for name, shell := range shells(t) {
			if name == "busybox" {
				continue // its own id comes before the one on the PATH
			}
			c := startContainer(t, append(slices.Clone(shell), script...), "PATH="+dir+":"+os.Getenv("PATH"))
			if code := c.wait(t, time.Minute); code != 0 || c.output.String() != tc.want {
				t.Errorf("user %s in %s: exit code %d, %q", tc.uid, name, code, c.output)
			}
		}
	}
}

// TestSparkShellClient runs the code: its file is the owner's only, has what a
// properties file reads as the password, and goes with dockerparallel_deregister.
func TestSparkShellClient(t *testing.T) {
	code := spark{}.Client(clientFacts).Shell + `
stat -c %a "$DOCKERPARALLEL_SPARK_CONF"; cat "$DOCKERPARALLEL_SPARK_CONF"; f=$DOCKERPARALLEL_SPARK_CONF
dockerparallel_deregister
[ -e "$f" ] || echo gone
`
	for name, shell := range shells(t) {
		cmd := exec.Command(shell[0], append(slices.Clone(shell[1:]), "-c", code)...)
		cmd.Env = append(os.Environ(), managed.PasswordVariable+"="+nastyPassword)
		out, err := cmd.CombinedOutput()
		want := "600\nspark.master=spark://192.0.2.7:16380\n" + sparkApplication + `spark.authenticate.secret=a"b\\c'd e%f$g&h+i/j:k@l#m` + "`n${o}!é\ngone\n"
		if err != nil || string(out) != want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, out, want)
		}
	}
}
