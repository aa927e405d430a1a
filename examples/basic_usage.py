"""Ten events through an executor. Run: ``python examples/basic_usage.py [asyncio|trio]``."""

import sys

import anyio

from lionpride_exec import Event, Executor, Processor


# 1. Define custom event
class DataProcessingEvent(Event):
    """Processes a piece of data."""

    data: dict = {}

    async def _invoke(self):
        # Process data
        return {"processed": self.data}


# 2. Define processor
class DataProcessor(Processor):
    """Starts data processing events."""

    event_type = DataProcessingEvent


# 3. Define executor
class DataExecutor(Executor):
    """Tracks data processing events."""

    processor_type = DataProcessor


# 4-7. Usage
async def main():
    """Append ten events, wait for them, and look at the results."""
    # 4. Create and start (processor_config required for start())
    executor = DataExecutor(
        processor_config={
            "queue_capacity": 100,
            "capacity_refresh_time": 1.0,
        }
    )
    await executor.start()

    # 5. Add events
    for i in range(10):
        event = DataProcessingEvent(data={"id": i})
        await executor.append(event)

    # 6. Query status
    pending = executor.pending_events
    print(f"Pending: {len(pending)}")

    # 7. Wait and check results
    await executor.processor.join()  # Wait for queue to empty
    completed = executor.completed_events
    print(f"Completed: {len(completed)}")

    await executor.stop()
    return completed


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1] if len(sys.argv) > 1 else "asyncio")
