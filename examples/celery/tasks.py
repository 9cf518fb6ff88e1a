"""The Celery app. It names neither a broker nor a result backend: both come from the environment."""

from celery import Celery

app = Celery("tasks")


@app.task
def count_primes(first, last):
    """How many primes there are from first to last, without the last."""
    return sum(1 for n in range(max(2, first), last) if all(n % d for d in range(2, int(n**0.5) + 1)))
