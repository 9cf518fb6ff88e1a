// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managedtest

// Where the tests of the R packages went (spec/r-systems.md, section 7 and 4):
//
//	T1-T10   T1-T10_life: startCluster is RunServer + ConnectServer +
//	         SetWorkerNumber; "initialized" has no meaning (Managers hold no
//	         state); registerBackend is ConnectServer, which waits until the
//	         server answers; the finalizer is Cleanup
//	T11-T19  T11-T19_reconnect: a new object is a new Manager on a new client
//	D1       D1_connect_before_server
//	D2       D2_show_never_fails
//	D3       the wanted number lives in Terraform's state, not in the core: only
//	         that nothing is counted without a server, in D2
//	D4       D4_server_alone; the image is the spec's, and comes back in the record
//	D5       D5_workers
//	D6       D6_update, D2 (after a stop)
//	D7       deregistering is the client's, in its own language: the code for it
//	         is tested with the frameworks. Here: D7_credentials
//	D8       T1-T10_life; "expected is preserved" has no meaning, as D3
//	D9, D10  D9_reconnect_counts, D10_reconnect_to_nothing
//	P1       P1_server_from_elsewhere
//	(dummy)  initialize once: Prepare may be called many times, in
//	         prepare_and_cleanup; run the server only if it does not run:
//	         same_owner_takes_over; scale only while a server runs: Terraform's
//	         order of resources, and D1; unique handles in a kill: M8
//	M1       M1_handles_per_worker
//	M2       was never called by R itself: status is the one source
//	M3       M3_reconnect_twice (R doubled the counts)
//	M4       M4_absolute_target
//	M5       M5_dead_are_dropped
//	M6       M6_scale_down_is_exact (R could stop too few)
//	M7       M7_victims_in_order (R: the smallest handle, whatever its age)
//	M8       M8_kill_once_and_unique; a failed kill is in faults_test.go
//	M9       M9_no_server_no_workers
//	M10      M3_reconnect_twice
//	(iii)    cancel_in_mid_run (R lost what a failed launch had started)
func allCases() []testCase {
	var all []testCase
	all = append(all, contractCases()...)
	all = append(all, capabilityCases()...)
	all = append(all, rCases()...)
	all = append(all, poolCases()...)
	all = append(all, updateCases()...)
	all = append(all, policyCases()...)
	all = append(all, clusterCases()...)
	return all
}
