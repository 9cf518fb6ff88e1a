// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/provider"
	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// factories serve the provider in this process, and one that shows what is
// ephemeral.
func factories() map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"dockerparallel": providerserver.NewProtocol6WithError(provider.New("test")()),
		"echo":           echoprovider.NewProviderServer(),
	}
}

// processConfig is a provider on the process backend with a root of its own,
// a cluster whose server listens, and two workers in one process.
func processConfig(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`
provider "dockerparallel" {
  owner   = "tests"
  process = { root = %q }
}

resource "dockerparallel_cluster" "sim" {
  name   = "sim"
  server = {
    port      = 0
    container = { command = [%q, "serve-port"] }
  }
}

resource "dockerparallel_worker_pool" "main" {
  cluster_id   = dockerparallel_cluster.sim.id
  name         = "main"
  worker_count = 2
  container    = { command = ["sleep", "3600"], max_workers = 2 }
}
`, filepath.Join(t.TempDir(), "root"), testenv.ProviderBinary(t))
}

func TestAccDataSources(t *testing.T) {
	testenv.Need(t, testenv.Terraform)
	config := processConfig(t) + `
data "dockerparallel_cluster" "sim" {
  name       = "sim"
  depends_on = [dockerparallel_worker_pool.main]
}

data "dockerparallel_cluster" "missing" {
  name = "missing"
}

data "dockerparallel_clusters" "all" {
  owner      = "tests"
  depends_on = [dockerparallel_worker_pool.main]
}

data "dockerparallel_workers" "main" {
  cluster_id = dockerparallel_cluster.sim.id
  pool       = "main"
  depends_on = [dockerparallel_worker_pool.main]
}
`
	const one, missing, all, workers = "data.dockerparallel_cluster.sim", "data.dockerparallel_cluster.missing", "data.dockerparallel_clusters.all", "data.dockerparallel_workers.main"
	pool := knownvalue.ListExact([]knownvalue.Check{knownvalue.ObjectExact(map[string]knownvalue.Check{
		"name": knownvalue.StringExact("main"), "owner": knownvalue.StringExact("tests"), "running_workers": knownvalue.Int64Exact(2),
		"initializing_workers": knownvalue.Int64Exact(0), "containers": knownvalue.Int64Exact(1),
	})})
	rfc3339 := knownvalue.StringRegexp(regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`))
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{{
			Config: config,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(one, tfjsonpath.New("exists"), knownvalue.Bool(true)),
				statecheck.ExpectKnownValue(one, tfjsonpath.New("status"), knownvalue.StringExact("running")),
				statecheck.ExpectKnownValue(one, tfjsonpath.New("started_at"), rfc3339),
				statecheck.ExpectKnownValue(one, tfjsonpath.New("pools"), pool),
				statecheck.CompareValuePairs(one, tfjsonpath.New("id"), "dockerparallel_cluster.sim", tfjsonpath.New("id"), compare.ValuesSame()),
				statecheck.CompareValuePairs(one, tfjsonpath.New("private_port"), "dockerparallel_cluster.sim", tfjsonpath.New("private_port"), compare.ValuesSame()),
				statecheck.CompareValuePairs(one, tfjsonpath.New("server_handle"), "dockerparallel_cluster.sim", tfjsonpath.New("server_handle"), compare.ValuesSame()),
				statecheck.ExpectKnownValue(missing, tfjsonpath.New("exists"), knownvalue.Bool(false)),
				statecheck.ExpectKnownValue(missing, tfjsonpath.New("id"), knownvalue.Null()),
				statecheck.ExpectKnownValue(missing, tfjsonpath.New("pools"), knownvalue.ListSizeExact(0)),
				statecheck.ExpectKnownValue(all, tfjsonpath.New("clusters"), knownvalue.ListSizeExact(1)),
				statecheck.ExpectKnownValue(all, tfjsonpath.New("clusters").AtSliceIndex(0).AtMapKey("pools"), pool),
				statecheck.ExpectKnownValue(workers, tfjsonpath.New("running_workers"), knownvalue.Int64Exact(2)),
				statecheck.ExpectKnownValue(workers, tfjsonpath.New("containers"), knownvalue.ListSizeExact(1)),
				statecheck.ExpectKnownValue(workers, tfjsonpath.New("containers").AtSliceIndex(0), knownvalue.ObjectPartial(map[string]knownvalue.Check{
					"pool": knownvalue.StringExact("main"), "workers": knownvalue.Int64Exact(2), "status": knownvalue.StringExact("running"),
					"current": knownvalue.Bool(true), "exit_code": knownvalue.Null(), "started_at": rfc3339,
				})),
				statecheck.CompareValuePairs(workers, tfjsonpath.New("containers").AtSliceIndex(0).AtMapKey("handle"),
					"dockerparallel_worker_pool.main", tfjsonpath.New("handles").AtSliceIndex(0), compare.ValuesSame()),
			},
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		}},
	})
}

func TestAccCredentials(t *testing.T) {
	testenv.Need(t, testenv.Terraform)
	config := processConfig(t)
	show := func(id string) string {
		return config + fmt.Sprintf(`
ephemeral "dockerparallel_credentials" "sim" {
  cluster_id = %s
}

provider "echo" {
  data = ephemeral.dockerparallel_credentials.sim
}

resource "echo" "shown" {}
`, id)
	}
	data := tfjsonpath.New("data")
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			{
				// The first plan waits for the cluster.
				Config: show("dockerparallel_cluster.sim.id"),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue("echo.shown", data.AtMapKey("password"), knownvalue.StringRegexp(regexp.MustCompile(`^.{16,}$`))),
					statecheck.ExpectKnownValue("echo.shown", data.AtMapKey("queue"), knownvalue.StringExact("sim")),
					statecheck.ExpectKnownValue("echo.shown", data.AtMapKey("host"), knownvalue.StringExact("127.0.0.1")),
					statecheck.ExpectKnownValue("echo.shown", data.AtMapKey("framework"), knownvalue.StringExact("custom")),
					statecheck.CompareValuePairs("echo.shown", data.AtMapKey("port"), "dockerparallel_cluster.sim", tfjsonpath.New("private_port"), compare.ValuesSame()),
					statecheck.CompareValuePairs("echo.shown", data.AtMapKey("url"), "dockerparallel_cluster.sim", tfjsonpath.New("client").AtMapKey("url"), compare.ValuesSame()),
				},
			},
			{Config: config},
			{
				// A cluster that does not exist blocks nothing.
				Config: show(`"missing"`),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue("echo.shown", data.AtMapKey("password"), knownvalue.Null()),
					statecheck.ExpectKnownValue("echo.shown", data.AtMapKey("queue"), knownvalue.Null()),
				},
			},
		},
	})
}
