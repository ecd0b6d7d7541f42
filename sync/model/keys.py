"""What the source knows of a key."""

from __future__ import annotations

from enum import Enum


class KeyState(Enum):
    """PRESENT: the window holds a row to store. DELETED: the last row of the window deletes the
    key. LATER: all rows come after the window.
    """

    PRESENT = "present"
    DELETED = "deleted"
    LATER = "later"
