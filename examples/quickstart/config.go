// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// address says where the server is and how to get in. The provider hands all of it to every container of the cluster.
type address struct {
	Host     string
	Port     string
	Password string
	Queue    string
}

// addressFromEnv reads what the provider has set. A client has the password in DOCKERPARALLEL_PASSWORD.
func addressFromEnv(getenv func(string) string) address {
	a := address{
		Host:     getenv("DOCKERPARALLEL_SERVER_HOST"),
		Port:     getenv("DOCKERPARALLEL_SERVER_PORT"),
		Password: getenv("DOCKERPARALLEL_SERVER_PASSWORD"),
		Queue:    getenv("DOCKERPARALLEL_QUEUE"),
	}
	if a.Password == "" {
		a.Password = getenv("DOCKERPARALLEL_PASSWORD")
	}
	return a
}

// check names the first thing that is missing.
func (a address) check() error {
	switch {
	case a.Host == "":
		return fmt.Errorf("where is the server? DOCKERPARALLEL_SERVER_HOST is not set")
	case a.Queue == "":
		return fmt.Errorf("which queue? DOCKERPARALLEL_QUEUE is not set")
	case a.Password == "":
		return fmt.Errorf("the password is missing: neither DOCKERPARALLEL_SERVER_PASSWORD nor DOCKERPARALLEL_PASSWORD is set")
	}
	return checkPort(a.Port)
}

func (a address) String() string { return net.JoinHostPort(a.Host, a.Port) }

// connect makes a Redis client of one connection, so that whoever counts connections counts workers. Name, where it is not
// empty, is what it calls itself. Nothing is dialled before the first command. Retries are ours (see insist), so that there
// is one place that decides when to give up.
func (a address) connect(name string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     a.String(),
		Password:                 a.Password,
		ClientName:               name,
		Protocol:                 2,
		DialTimeout:              2 * time.Second,
		ReadTimeout:              5 * time.Second,
		MaxRetries:               -1,
		DialerRetries:            1,
		PoolSize:                 1,
		MaxActiveConns:           1,
		PipelinePoolSize:         -1, // pipelines use the same connection
		DisableIdentity:          true,
		ContextTimeoutEnabled:    true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// checkPort wants a port that somebody else can know, so not 0.
func checkPort(port string) error {
	if port == "" {
		return fmt.Errorf("which port? DOCKERPARALLEL_SERVER_PORT is not set")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	return nil
}
