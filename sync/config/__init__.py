"""Reads `sync.yaml` into settings, or reports every mistake in it at once."""

from sync.config.reader import *  # noqa: F403
from sync.config.reader import __all__  # noqa: F401
