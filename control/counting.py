"""Counts of what happens within a window of time, kept in the cache for all processes together."""

from typing import Any

from processors.store import default_store


def made(key: str, window_s: int) -> tuple[int, int]:
    """Count once more.

    Args:
        key: What is counted.
        window_s: How long a window is, seconds; it begins with what is counted first.

    Returns:
        How many there are in this window, this one included, and the milliseconds until the next.

    Raises:
        redis.RedisError: The cache cannot be reached.
    """
    with default_store().redis.pipeline(transaction=True) as pipe:
        pipe.set(key, 0, ex=window_s, nx=True)
        pipe.incr(key)
        pipe.pttl(key)
        answers: list[Any] = pipe.execute()
    return int(answers[1]), int(answers[2])
