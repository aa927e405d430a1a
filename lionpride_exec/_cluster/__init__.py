"""
A cluster: the events of executors in many processes, on a server.

``cluster`` has the settings. Importing it imports neither the client library nor the encoder, which are an extra. The
``engine`` needs both. It is the queue on the server, with its clients and workers.
"""

from .cluster import Cluster

__all__ = ["Cluster"]
