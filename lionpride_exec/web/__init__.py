"""The dashboard of an executor, to be mounted in an ASGI application. See ``docs/dashboard.md``."""
