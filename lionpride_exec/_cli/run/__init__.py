"""The command ``lionpride-exec run``."""
