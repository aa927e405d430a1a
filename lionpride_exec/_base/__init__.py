"""The floor under everything: backends, conditions, locks, JSON text. Nothing here knows an event."""
