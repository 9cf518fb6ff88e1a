"""Counts the primes below a million in 50 tasks. The shell that starts it has run the cluster's client code."""

from celery import group

from tasks import count_primes

STEP = 20_000

job = group(count_primes.s(first, first + STEP) for first in range(0, 1_000_000, STEP))
print("primes below a million:", sum(job.apply_async().get(timeout=600)))
