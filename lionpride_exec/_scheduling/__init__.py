"""Which id may start now: the queue, lanes, limit states, the capacity window. Nothing here knows an event."""
