// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/testenv"
)

// actions wants them before the apply, and nothing to do after it.
func actions(c, p plancheck.ResourceActionType, more ...plancheck.PlanCheck) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             append([]plancheck.PlanCheck{plancheck.ExpectResourceAction(cluster, c), plancheck.ExpectResourceAction(pool, p)}, more...),
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

func slot(i int) tfjsonpath.Path { return tfjsonpath.New("handles").AtSliceIndex(i) }

func count(n int) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(pool, tfjsonpath.New("running_workers"), knownvalue.Int64Exact(int64(n)))
}

func TestAccClusterAndPool(t *testing.T) {
	testenv.Need(t, testenv.Terraform)
	w := newWorld(t)
	config := func(n int, more string) string { return w.config(accOwner, clusterBlock("")+poolBlock(n, more)) }
	const (
		noop, create, update = plancheck.ResourceActionNoop, plancheck.ResourceActionCreate, plancheck.ResourceActionUpdate
	)
	first, second := statecheck.CompareValue(compare.ValuesSame()), statecheck.CompareValue(compare.ValuesSame())
	id := statecheck.CompareValue(compare.ValuesSame())
	healed := statecheck.CompareValue(compare.ValuesDiffer())
	newLaunch := statecheck.CompareValue(compare.ValuesDiffer())
	restarted, updated := statecheck.CompareValue(compare.ValuesDiffer()), statecheck.CompareValue(compare.ValuesDiffer())
	var worker, server noted
	// Each use of a comparer adds one value to it, in the order of the steps.
	checks := func(more ...statecheck.StateCheck) []statecheck.StateCheck {
		return append(more, first.AddStateValue(pool, slot(0)), second.AddStateValue(pool, slot(1)), id.AddStateValue(cluster, tfjsonpath.New("id")))
	}
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		CheckDestroy:             w.left,
		Steps: []resource.TestStep{
			{
				Config:           config(4, ""),
				ConfigPlanChecks: actions(create, create, plancheck.ExpectUnknownValue(pool, tfjsonpath.New("handles"))),
				ConfigStateChecks: checks(count(4),
					statecheck.ExpectKnownValue(cluster, tfjsonpath.New("status"), knownvalue.StringExact("running")),
					statecheck.ExpectKnownValue(cluster, tfjsonpath.New("private_ip"), knownvalue.StringExact("127.0.0.1")),
					statecheck.ExpectKnownValue(pool, tfjsonpath.New("handles"), knownvalue.ListSizeExact(4)),
					statecheck.ExpectKnownValue(pool, tfjsonpath.New("id"), knownvalue.StringExact("sim/default")),
				),
			},
			{Config: config(8, ""), ConfigPlanChecks: actions(noop, update), ConfigStateChecks: checks(count(8))},
			{
				Config:            config(3, ""),
				ConfigPlanChecks:  actions(noop, update),
				ConfigStateChecks: checks(count(3), worker.note(pool, slot(2)), healed.AddStateValue(pool, slot(2))),
			},
			{
				// A worker that was killed is replaced, and only that one.
				PreConfig: func() { worker.kill(t) },
				Config:    config(3, ""),
				ConfigPlanChecks: actions(noop, update,
					plancheck.ExpectKnownValue(pool, slot(1), knownvalue.NotNull()), plancheck.ExpectUnknownValue(pool, slot(2))),
				ConfigStateChecks: checks(count(3), healed.AddStateValue(pool, slot(2))),
			},
			{
				// A change of policy touches nothing.
				Config: config(3, `
					gang_style = "hard"
					labels     = { team = "stats" }
					update     = { strategy = "recreate" }
					stop_grace_period = "20s"`),
				ConfigPlanChecks: actions(noop, update, plancheck.ExpectKnownValue(pool, slot(2), knownvalue.NotNull())),
				ConfigStateChecks: checks(count(3), server.note(cluster, tfjsonpath.New("server_handle")),
					newLaunch.AddStateValue(cluster, tfjsonpath.New("id")), restarted.AddStateValue(pool, slot(0))),
			},
			{
				// A server that was killed comes back with its workers in one apply.
				PreConfig: func() { server.kill(t) },
				Config:    config(3, ""),
				ConfigPlanChecks: actions(update, update,
					plancheck.ExpectUnknownValue(cluster, tfjsonpath.New("id")), plancheck.ExpectKnownValue(cluster, tfjsonpath.New("status"), knownvalue.StringExact("running"))),
				ConfigStateChecks: []statecheck.StateCheck{
					count(3), newLaunch.AddStateValue(cluster, tfjsonpath.New("id")), restarted.AddStateValue(pool, slot(0)), updated.AddStateValue(pool, slot(0)),
				},
			},
			{
				// Another command replaces the workers in place.
				Config:            w.config(accOwner, clusterBlock("")+sleepers(3, "601", "")),
				ConfigPlanChecks:  actions(noop, update),
				ConfigStateChecks: []statecheck.StateCheck{count(3), updated.AddStateValue(pool, slot(0))},
			},
			{ResourceName: cluster, ImportState: true, ImportStateId: "sim", ImportStateVerify: true},
			{ResourceName: pool, ImportState: true, ImportStateId: "sim/default", ImportStateVerify: true},
			{ResourceName: cluster, ImportState: true, ImportStateId: "sim", ImportStateKind: resource.ImportBlockWithID},
			{ResourceName: pool, ImportState: true, ImportStateId: "sim/default", ImportStateKind: resource.ImportBlockWithID},
		},
	})
}

// After "state rm", what is there is refused to another owner, and taken over
// by the same one, or by "adopt"; nothing is restarted.
func TestAccAdopt(t *testing.T) {
	testenv.Need(t, testenv.Terraform)
	w := newWorld(t)
	forget := `
removed {
  from = dockerparallel_cluster.sim
  lifecycle { destroy = false }
}
removed {
  from = dockerparallel_worker_pool.workers
  lifecycle { destroy = false }
}
`
	handle := statecheck.CompareValue(compare.ValuesSame())
	worker := statecheck.CompareValue(compare.ValuesSame())
	same := func() []statecheck.StateCheck {
		return []statecheck.StateCheck{count(2), handle.AddStateValue(cluster, tfjsonpath.New("server_handle")), worker.AddStateValue(pool, slot(0))}
	}
	empty := resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	both := clusterBlock("") + poolBlock(2, "")
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		CheckDestroy:             w.left,
		Steps: []resource.TestStep{
			{Config: w.config(accOwner, both), ConfigStateChecks: same()},
			{Config: w.config(accOwner, forget)},
			{Config: w.config(accOwner, both), ConfigStateChecks: same(), ConfigPlanChecks: empty},
			{Config: w.config(accOwner, forget)},
			{Config: w.config("somebody-else", both), ExpectError: says("terraform import dockerparallel_cluster.<name> sim terraform import dockerparallel_worker_pool.<name> sim/default")},
			{
				Config:            w.config("somebody-else", clusterBlock(`on_existing = "adopt"`)+poolBlock(2, `on_existing = "adopt"`)),
				ConfigStateChecks: same(), ConfigPlanChecks: empty,
			},
			// Its containers are known to be ours now, whatever their labels say.
			{Config: w.config("somebody-else", clusterBlock("force_destroy = true")+poolBlock(2, "")), ConfigPlanChecks: empty},
		},
	})
}

func TestAccPacking(t *testing.T) {
	testenv.Need(t, testenv.Terraform)
	w := newWorld(t)
	config := func(n int) string {
		return w.config(accOwner, clusterBlock("")+fmt.Sprintf(`
resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.sim.id
  worker_count = %d
  container    = { command = ["sh", "-c", "exec sleep 600"], max_workers = 4 }
}
`, n))
	}
	alive := func(want int) resource.TestCheckFunc {
		return func(*terraform.State) error {
			if got := w.workers(); got != want {
				return fmt.Errorf("%d processes run, want %d", got, want)
			}
			return nil
		}
	}
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		CheckDestroy:             w.left,
		Steps: []resource.TestStep{
			{Config: config(10), ConfigStateChecks: []statecheck.StateCheck{count(10)}, Check: alive(3)},
			{Config: config(9), ConfigStateChecks: []statecheck.StateCheck{count(9)}, Check: alive(3)},
			{Config: config(0), ConfigStateChecks: []statecheck.StateCheck{count(0)}, Check: alive(0)},
		},
	})
}

// What fails at apply says why, and does not touch what works.
func TestAccErrors(t *testing.T) {
	testenv.Need(t, testenv.Terraform)
	w := newWorld(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server := func(command, port string) string {
		return w.config(accOwner, fmt.Sprintf(`
resource "dockerparallel_cluster" "sim" {
  name   = "sim"
  server = {
    container = { command = %s }
    port      = %s
  }
}
`, command, port))
	}
	kept := statecheck.CompareValue(compare.ValuesSame())
	good := w.config(accOwner, clusterBlock("")+poolBlock(2, ""))
	still := func() resource.TestStep {
		return resource.TestStep{Config: good, ConfigStateChecks: []statecheck.StateCheck{count(2), kept.AddStateValue(pool, slot(0))}}
	}
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		CheckDestroy:             w.left,
		Steps: []resource.TestStep{
			{Config: server(`["sleep", "600"]`, port), ExpectError: says("Unable to Create Cluster")},
			{Config: server(`["sh", "-c", "echo out of luck; exit 3"]`, "0"), ExpectError: says("out of luck")},
			{Config: server(`["/no/such/program"]`, "0"), ExpectError: says("/no/such/program")},
			still(),
			{
				Config:      w.config(accOwner, clusterBlock("")+poolBlock(2, `min_worker_count = 3`)),
				ExpectError: says("more than worker_count"),
			},
			{
				// The command is found to be wrong before anybody is stopped.
				Config: w.config(accOwner, clusterBlock("")+`
resource "dockerparallel_worker_pool" "workers" {
  cluster_id   = dockerparallel_cluster.sim.id
  worker_count = 2
  container    = { command = ["/no/such/program"] }
}
`),
				ExpectError: says("/no/such/program"),
			},
			still(),
		},
	})
}

func TestAccIdentity(t *testing.T) {
	testenv.Need(t, testenv.Terraform)
	w := newWorld(t)
	resource.Test(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		TerraformVersionChecks:   []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_12_0)},
		CheckDestroy:             w.left,
		Steps: []resource.TestStep{
			{
				Config: w.config(accOwner, clusterBlock("")+poolBlock(1, "")),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectIdentity(cluster, map[string]knownvalue.Check{
						"namespace": knownvalue.StringExact("default"), "name": knownvalue.StringExact("sim"),
					}),
					statecheck.ExpectIdentity(pool, map[string]knownvalue.Check{
						"namespace": knownvalue.StringExact("default"), "cluster": knownvalue.StringExact("sim"), "name": knownvalue.StringExact("default"),
					}),
				},
			},
			{ResourceName: cluster, ImportState: true, ImportStateKind: resource.ImportBlockWithResourceIdentity},
			{ResourceName: pool, ImportState: true, ImportStateKind: resource.ImportBlockWithResourceIdentity},
		},
	})
}
