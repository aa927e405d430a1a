"""Where events stand, and who is told: the status index, observers, subscriptions, progress, retention."""
