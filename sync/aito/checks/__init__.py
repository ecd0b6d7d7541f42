"""What the sync assumes of Aito, each with a check against a real one.

They run in the order of CHECKS and share tables by name.
"""

from __future__ import annotations

from sync.aito.checks import access, changes, jobs, queries, rows, schema
from sync.aito.checks.check import Check

CHECKS: tuple[Check, ...] = (
    *access.CHECKS,
    *schema.CHECKS,
    *rows.CHECKS,
    *queries.CHECKS,
    *changes.CHECKS,
    *jobs.CHECKS,
)

__all__ = ["CHECKS", "Check"]
