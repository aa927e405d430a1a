"""Plain functions in threads, processes and interpreters. Nothing of an event is known here."""
