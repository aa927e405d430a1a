"""Where events stand, and who is told: the status index, subscriptions, progress."""
