"""How measured figures are written: times, sizes and counts, in three digits and a fitting unit."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Write a time with three digits and a fitting unit."""
    return _scaled(seconds, (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)))


def memory(count: int) -> str:
    """Write a number of bytes with three digits and a fitting unit; fewer than a thousand as they are."""
    return f"{count} B" if count < 1000 else _scaled(count, (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)))


def amount(count: int) -> str:
    """Write a count in words that stay short: ``950``, ``1.23 million``."""
    if count < 1_000_000:
        return f"{count:,}"
    return _scaled(count, (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)))


def plural(count: int, word: str) -> str:
    """Write a count and what is counted: ``1 parameter``, ``12 parameters``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _scaled(value: float, units: tuple[tuple[str, float], ...]) -> str:
    rounded = float(f"{value:.3g}")  # 999.9 µs is written in ms
    unit, size = next((pair for pair in units if rounded >= pair[1]), units[-1])
    number = value / size
    return (f"{number:,.0f}" if number >= 999.5 else f"{number:#.3g}".rstrip(".")) + f" {unit}"
