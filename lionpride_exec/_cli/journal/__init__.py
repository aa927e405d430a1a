"""The commands that look at a journal."""
