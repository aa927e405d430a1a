"""The formats of INPUT. One module for each; they share the protocol in ``records``."""
