"""One event: its record, the one way from status to status, one run of it, its chunks."""
