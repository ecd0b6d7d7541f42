"""Aito as a target, spoken to over HTTP in version 1 of its API."""

from __future__ import annotations

from sync.aito.rate_limit import RateLimiter
from sync.aito.transport import Key, Transport
from sync.aito.v1 import AitoTarget

__all__ = ["AitoTarget", "Key", "RateLimiter", "Transport"]
