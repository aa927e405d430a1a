"""Fifty calls through a gate of ten a second. Run: ``python examples/rate_limited.py [asyncio|trio]`` (25 s)."""

import sys
import time

import anyio

from lionpride_exec import Event, Executor, Processor


class TaskEvent(Event):
    """One call."""

    task_id: int = 0

    async def _invoke(self):
        return time.time()


# Use custom permission check for rate limiting
class RateLimitedProcessor(Processor):
    """Starts at most one call in each ``min_interval``."""

    event_type = TaskEvent

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.last_request = 0
        self.min_interval = 0.1  # 100ms between requests

    async def request_permission(self, **kwargs):
        """Let a call through if the last one is long enough ago."""
        now = time.time()
        if now - self.last_request < self.min_interval:
            return False  # Deny, will retry with backoff
        self.last_request = now
        return True


class RateLimitedExecutor(Executor):
    """Tracks the calls."""

    processor_type = RateLimitedProcessor


# Usage
async def main():
    """Append all calls at once and wait for them."""
    executor = RateLimitedExecutor(
        processor_config={
            "queue_capacity": 10,
            "capacity_refresh_time": 0.5,
        }
    )
    await executor.start()

    for i in range(50):
        await executor.append(TaskEvent(task_id=i))

    # Events processed with rate limiting (max 10 per second)
    await executor.join()
    print(executor.inspect_state())
    await executor.stop()
    return executor


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1] if len(sys.argv) > 1 else "asyncio")
