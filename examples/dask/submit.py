"""Estimates pi on a Dask cluster, with the address from DASK_SCHEDULER_ADDRESS."""

import random
import sys
import time

from distributed import Client


def hits(seed, points):
    """Counts how many random points of the unit square are in the circle."""
    rng = random.Random(seed)
    return sum(rng.random() ** 2 + rng.random() ** 2 <= 1 for _ in range(points))


def main(tasks=40, points=200_000):
    with Client(timeout="30s") as client:
        workers = len(client.scheduler_info()["workers"])
        begun = time.perf_counter()
        counts = client.gather(client.map(hits, range(tasks), points=points))
        took = time.perf_counter() - begun

    pi = 4 * sum(counts) / (tasks * points)
    print(f"{tasks} tasks on {workers} workers in {took:.1f} s: pi is about {pi:.4f}")
    return 0 if abs(pi - 3.14159) < 0.005 else 1


if __name__ == "__main__":
    sys.exit(main())
