"""``lionpride-exec run``."""
