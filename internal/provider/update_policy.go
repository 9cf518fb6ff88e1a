// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"strconv"
	"strings"

	"github.com/dockerparallel/terraform-provider-dockerparallel/internal/managed"
)

// The update policy where the configuration has none.
const (
	defaultStrategy       = string(managed.StrategyRolling)
	defaultMaxUnavailable = "25%"
	defaultMaxSurge       = "0"
)

// updatePolicy turns the limits of a configuration into workers. Percentages
// round down. If that leaves no room to replace anything, one worker may be
// missing.
func updatePolicy(strategy, maxUnavailable, maxSurge string, workers int) managed.UpdatePolicy {
	p := managed.UpdatePolicy{
		Strategy:       managed.Strategy(strategy),
		MaxUnavailable: share(maxUnavailable, workers),
		MaxSurge:       share(maxSurge, workers),
	}
	if p.MaxSurge == 0 {
		p.MaxUnavailable = max(1, p.MaxUnavailable)
	}
	return p
}

// share is a validated number or percentage of workers.
func share(s string, workers int) int {
	if p, percent := strings.CutSuffix(s, "%"); percent {
		n, _ := strconv.Atoi(p) // a validator has seen to it
		return workers * n / 100
	}
	n, _ := strconv.Atoi(s)
	return n
}

// noRoom tells whether limits never let a worker be replaced.
func noRoom(maxUnavailable, maxSurge string) bool {
	zero := func(s string) bool { return strings.Trim(s, "0") == "" || strings.Trim(s, "0") == "%" }
	return zero(maxUnavailable) && zero(maxSurge)
}
