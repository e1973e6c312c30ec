"""What a sample says of the whole, in numbers and in words: exact, for drawing without putting back. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

CONFIDENCE = 0.95


def at_most(population: int, sample: int, found: int, *, doubt: float) -> int:
    """The most deviating ones with which a sample that has so few of them is likelier than ``doubt``.

    The exact bound of Clopper and Pearson, for a population that ends: a sample of everybody leaves no doubt.
    """
    return _last(
        found, population - sample + found, lambda many: _up_to(population, many, sample, found) > doubt
    )


def at_least(population: int, sample: int, found: int, *, doubt: float) -> int:
    """The fewest deviating ones with which a sample that has so many of them is likelier than ``doubt``."""
    mirrored = at_most(population, sample, sample - found, doubt=doubt)
    return population - mirrored


def in_words(population: int, sample: int, found: int, *, confidence: float = CONFIDENCE) -> str:
    """What ``found`` deviating contacts of ``sample`` say of the population; limits are rounded outwards."""
    sure = f"with {confidence:.0%} confidence".replace("%", " %")
    if sample >= population:
        return f"{found or 'no'} deviation{'s' if found > 1 else ''} among all {population:,} contacts"
    if not found:
        many = at_most(population, sample, 0, doubt=1 - confidence)
        return (
            f"no deviation among {sample:,} of {population:,} contacts: "
            f"{sure} at most {_up(many, population)} % deviate"
        )
    doubt = (1 - confidence) / 2
    few = at_least(population, sample, found, doubt=doubt)
    many = at_most(population, sample, found, doubt=doubt)
    return (
        f"{found:,} of {sample:,} contacts deviate, drawn from {population:,}: {sure} between "
        f"{_down(few, population)} % and {_up(many, population)} % do ({few:,} to {many:,} contacts)"
    )


def _up(many: int, population: int) -> str:
    return f"{math.ceil(1000 * many / population) / 10:g}"


def _down(few: int, population: int) -> str:
    return f"{math.floor(1000 * few / population) / 10:g}"


def _last(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The largest number from ``low`` to ``high`` for which it holds; it does so up to there."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _up_to(population: int, deviating: int, sample: int, found: int) -> float:
    """How likely at most ``found`` of the deviating ones are in a sample (hypergeometric)."""
    every = _log_choose(population, sample)
    return math.fsum(
        math.exp(
            _log_choose(deviating, number) + _log_choose(population - deviating, sample - number) - every
        )
        for number in range(max(0, sample - (population - deviating)), min(found, deviating) + 1)
    )


def _log_choose(many: int, few: int) -> float:
    return math.lgamma(many + 1) - math.lgamma(few + 1) - math.lgamma(many - few + 1)
