"""What the workers do. Workers and clients have it on their PYTHONPATH."""

import socket


def square(x):
    return x * x, socket.gethostname()
