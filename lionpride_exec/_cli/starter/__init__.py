"""A first project: the files that ``init`` writes, and the demonstration that runs them against a server of its own."""
