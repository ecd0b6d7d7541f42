"""The sampling error of a share, by the binomial distribution. Pure."""

from __future__ import annotations

import math

Z_95 = 1.96  # standard errors of a 95 % interval


def standard_error(share: float, cases: float) -> float:
    """The standard error of a share that was measured on so many cases.

    Two cases of each kind are added, so that a share of 0 or 1 has an error too.
    """
    smoothed = (share * cases + 2) / (cases + 4)
    return math.sqrt(smoothed * (1 - smoothed) / (cases + 4))


def interval(share: float, cases: float) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's formula. Both ends lie within 0 and 1."""
    z_squared = Z_95**2
    scale = 1 + z_squared / cases
    middle = (share + z_squared / (2 * cases)) / scale
    variance = share * (1 - share) / cases + z_squared / (4 * cases**2)
    half_width = Z_95 / scale * math.sqrt(variance)
    return max(0.0, middle - half_width), min(1.0, middle + half_width)
