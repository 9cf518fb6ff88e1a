"""Estimates pi on the cluster. Needs cluster.py: see README.md."""

import collections
import sys
import time

from cluster import dockerparallel_deregister, queue

JOBS, POINTS = 40, 200_000

# By its name, a function need not be importable here. A result is kept for ten minutes.
jobs = [queue.enqueue("tasks.inside", POINTS, seed, result_ttl=600) for seed in range(JOBS)]

while (left := sum(not (job.is_finished or job.is_failed) for job in jobs)):
    print(f"{left} jobs are left", file=sys.stderr)
    time.sleep(0.5)

for job in jobs:
    job.refresh()
    if job.is_failed:
        sys.exit(f"job {job.id} failed:\n{job.latest_result().exc_string}")

print("pi is about", 4 * sum(job.return_value() for job in jobs) / (JOBS * POINTS))
for name, done in sorted(collections.Counter(job.worker_name for job in jobs).items()):
    print(f"{done:3} jobs by {name}")

dockerparallel_deregister()
