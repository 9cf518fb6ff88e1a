// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package acceptance_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// TestAccDockerPasswordIsNowhereElse: on an engine the password is in the
// environment of the containers and in a file of a volume, and nowhere else:
// not in labels, arguments, names, the volume's or the network's description,
// the state, the plan or the log.
func TestAccDockerPasswordIsNowhereElse(t *testing.T) {
	for name, given := range map[string]string{"generated": "", "given": "correct'horse\"battery $staple"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newDockerWorld(t)
			log := filepath.Join(w.dir, "trace.log")
			w.variables = []string{"TF_LOG=TRACE", "TF_LOG_PATH=" + log}
			if given != "" {
				w.variables = append(w.variables, "TF_VAR_password="+given)
			}
			w.write(requireProvider + w.provider("owner = \"ci\"") + `
variable "password" {
  type      = string
  ephemeral = true
  default   = null
}
ephemeral "dockerparallel_credentials" "sim" {
  cluster_id = dockerparallel_cluster.sim.id
}
` + w.clusterBlock("sim", "password_wo = var.password\n  password_wo_version = 1") +
				w.poolBlock("sim", "default", 2, `container = { image = "`+w.image+`", command = ["/node", "worker"], environment = { BROKER = "$(DOCKERPARALLEL_SERVER_URL)" } }`))
			out := w.apply()
			out += w.mustRun("plan", "-no-color", "-out=plan.bin")
			out += w.mustRun("show", "-json", "plan.bin")
			out += w.mustRun("show", "-no-color")
			out += w.self("list", "--json", "--containers").out

			password := passwordOf(t, w.self("credentials", "sim", "--namespace", w.namespace).out, given)

			places := contents{"the output of Terraform and list": out}
			places.read(t, w.dir, "terraform.tfstate", "plan.bin", "trace.log")
			knows := 0
			for _, c := range w.all("") {
				res, err := w.engine.ContainerInspect(t.Context(), c.ID, client.ContainerInspectOptions{})
				must(t, err)
				if strings.Contains(strings.Join(res.Container.Config.Env, "\n"), "DOCKERPARALLEL_SERVER_PASSWORD="+password) {
					knows++
				}
				res.Container.Config.Env = nil
				places["what docker inspect says of "+c.Names[0]] = shown(t, res.Container)
				if c.State == container.StateRunning {
					top, err := w.engine.ContainerTop(t.Context(), c.ID, client.ContainerTopOptions{})
					must(t, err)
					places["the processes of "+c.Names[0]] = shown(t, top.Processes)
				}
			}
			if knows != 3 {
				t.Errorf("%d of 3 containers know the password", knows)
			}
			for _, other := range w.others() {
				kind, name, _ := strings.Cut(other, " ")
				if kind == "network" {
					res, err := w.engine.NetworkInspect(t.Context(), name, client.NetworkInspectOptions{})
					must(t, err)
					places[other] = shown(t, res)
				} else {
					res, err := w.engine.VolumeInspect(t.Context(), name, client.VolumeInspectOptions{})
					must(t, err)
					places[other] = shown(t, res)
				}
			}
			places.lack(t, 11, password)
			w.destroy()
			w.nothingLeft()
		})
	}
}

func shown(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}
