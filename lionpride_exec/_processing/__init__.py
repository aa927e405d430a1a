"""The processor: it asks its gate, starts events, and counts what runs."""
