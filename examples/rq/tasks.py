"""What the workers run: clients name a function, workers import it."""

import random


def inside(points, seed):
    """How many of so many random points in a square are in its circle."""
    rng = random.Random(seed)
    return sum(rng.random() ** 2 + rng.random() ** 2 < 1 for _ in range(points))
