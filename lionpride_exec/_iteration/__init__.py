"""Iterating over events as they end: ``as_completed()`` and ``map()``."""
