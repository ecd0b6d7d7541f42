"""Numbers, ages and times as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

DAY = 86_400  # seconds
# Seconds, short form, word.
UNITS = ((DAY, "d", "day"), (3_600, "h", "hour"), (60, "min", "minute"), (1, "s", "second"))
BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")
UNKNOWN = "\N{EN DASH}"


def ago(seconds: int | None) -> str:
    """An age: `3 h ago`. None: `never`."""
    return "never" if seconds is None else f"{age(seconds)} ago"


def age(seconds: int) -> str:
    """A length of time, in the largest unit of which it has two: 5400 is `90 min`."""
    for size, short, _ in UNITS:
        if abs(seconds) >= 2 * size:
            return f"{seconds // size} {short}"
    return f"{seconds} s"


def duration(seconds: float | None) -> str:
    """How long a run took: `0.4 s`, `12 s` or `90 min`. None: a dash."""
    if seconds is None:
        return UNKNOWN
    return f"{seconds:.1f} s" if seconds < 10 else age(round(seconds))


def span(seconds: int) -> str:
    """What one bar of a plot stands for: `day`, `3 hours`."""
    for size, _, word in UNITS:
        if seconds % size == 0:
            number = seconds // size
            return word if number == 1 else f"{number} {word}s"
    raise AssertionError("every whole number of seconds is a multiple of one second")


def moment(text: str) -> str:
    """An ISO time, to the minute, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(seconds: int) -> str:
    """Epoch seconds as a date; with the time where it is not midnight."""
    form = "%Y-%m-%d" if seconds % DAY == 0 else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def count(number: float | None) -> str:
    """A number with its thousands apart. None: 0."""
    return f"{number or 0:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def bytes_(number: float | None) -> str:
    """A number of bytes, in the unit that keeps it short. None: a dash."""
    if number is None:
        return UNKNOWN
    for unit in BYTE_UNITS[:-1]:
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} {BYTE_UNITS[-1]}"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{share * 100:.1f} %"
