"""The status page: what the ledger knows, as facts, and the facts as a page.

`page` is imported by who shows it: `from sync.status import page`.
"""

from sync.status.facts import facts

__all__ = ["facts"]
