"""What a process of its own can be told to do; in a module that it can import."""

import os


def name_or_crash(path, crashes):
    """Return the name of *path*, or end the process as a fault of a runtime does."""
    if crashes:
        os.abort()
    return path.name
