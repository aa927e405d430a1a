"""The commands for the queue of a cluster. ``cluster_app`` reads their arguments."""
