"""A hundred tasks with priorities, watched to their end. Run: ``python examples/task_processing.py [asyncio|trio]``."""

import sys

import anyio

from lionpride_exec import Event, Executor, Processor


# 1. Define event for data processing tasks
class TaskEvent(Event):
    """Processes the data of one task."""

    task_id: int = 0
    data: str = ""

    async def _invoke(self):
        # Simulate processing
        await anyio.sleep(0.1)
        return {"task_id": self.task_id, "result": f"Processed: {self.data}"}


# 2. Define processor
class TaskProcessor(Processor):
    """Starts tasks."""

    event_type = TaskEvent


# 3. Define executor
class TaskExecutor(Executor):
    """Tracks tasks."""

    processor_type = TaskProcessor


# 4. Run system
async def main():
    """Append the tasks and print the progress until none is left."""
    # Create executor with config
    executor = TaskExecutor(
        processor_config={
            "queue_capacity": 50,
            "capacity_refresh_time": 0.5,
            "concurrency_limit": 20,
        }
    )

    # Start processing
    await executor.start()

    # Add tasks with priorities
    for i in range(100):
        task = TaskEvent(task_id=i, data=f"Task {i}")
        # Urgent tasks (< 10) get higher priority
        priority = 1.0 if i < 10 else 100.0
        await executor.append(task, priority=priority)

    # Monitor progress
    while True:
        counts = executor.status_counts()
        print(f"Progress: {counts}")

        if counts["pending"] == 0 and counts["processing"] == 0:
            break

        await anyio.sleep(1)

    # Check results
    completed = executor.completed_events
    failed = executor.failed_events
    print(f"✓ Completed: {len(completed)}, ✗ Failed: {len(failed)}")

    # Cleanup
    await executor.cleanup_events()
    await executor.stop()
    return completed, failed


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1] if len(sys.argv) > 1 else "asyncio")
