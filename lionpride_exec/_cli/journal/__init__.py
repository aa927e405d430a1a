"""The commands that read a journal, and the one that puts events back."""
