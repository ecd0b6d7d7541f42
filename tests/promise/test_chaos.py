"""A few rounds of chaos; `make chaos` plays hundreds."""

from __future__ import annotations

import random

from local.stack import Stack
from tests.promise import chaos


def test_four_rounds(stack: Stack) -> None:
    """Random data, faults, kills and overlaps: whenever the function answers 200, both ends are
    equal.
    """
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # shown when it fails
    played = chaos.play(stack, seed, range(4))
    assert played.statuses[200] >= 1
    assert played.calls_here >= 3
