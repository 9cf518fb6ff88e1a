#!/bin/sh
# A worker in a few lines: it takes jobs from the cluster's queue and puts the
# answers into another list. A job is a number, the answer is its square.
#
# The address and the password are in the environment: REDIS_HOST, REDIS_PORT
# and REDISCLI_AUTH, which redis-cli reads by itself.
set -eu

redis() { redis-cli --raw -h "$REDIS_HOST" -p "$REDIS_PORT" "$@"; }

# Leave when asked to, but not in the middle of a job.
leaving=no
trap 'leaving=yes' TERM

while [ "$leaving" = no ]; do
  job=$(redis BLPOP "$DOCKERPARALLEL_QUEUE" 1 | tail -n 1) || continue
  [ -n "$job" ] || continue
  redis RPUSH "$DOCKERPARALLEL_QUEUE:answers" "$job squared is $((job * job))" >/dev/null
done
