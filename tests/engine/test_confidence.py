"""What a sample says of the whole."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.engine.confidence import at_least, at_most, in_words

DOUBT = 0.0507
"""No sample of so few is exactly so likely."""


def likely(population, deviating, sample, found):
    """How likely exactly so many of the deviating ones are in a sample."""
    return comb(deviating, found) * comb(population - deviating, sample - found) / comb(population, sample)


@given(st.data())
def test_the_bounds_are_the_exact_ones(data):
    population = data.draw(st.integers(1, 60))
    sample = data.draw(st.integers(1, population))
    found = data.draw(st.integers(0, sample))
    possible = range(found, population - sample + found + 1)

    def so_few(many):
        return sum(likely(population, many, sample, number) for number in range(found + 1))

    def so_many(many):
        return sum(likely(population, many, sample, number) for number in range(found, sample + 1))

    assert at_most(population, sample, found, doubt=DOUBT) == max(
        many for many in possible if so_few(many) > DOUBT or many == found
    )
    assert at_least(population, sample, found, doubt=DOUBT) == min(
        many for many in possible if so_many(many) > DOUBT or many == possible[-1]
    )


@pytest.mark.parametrize(
    ("sample", "found", "low", "high"),
    [(200, 0, 0.0, 0.0149), (200, 7, 0.0142, 0.0708), (1000, 1, 0.00002, 0.0056), (59, 0, 0.0, 0.0496)],
)
def test_in_a_large_population_they_are_those_of_clopper_and_pearson(sample, found, low, high):
    doubt = 0.025 if found else 0.05
    many = 10_000_000
    assert at_most(many, sample, found, doubt=doubt) / many == pytest.approx(high, abs=1e-4)
    assert at_least(many, sample, found, doubt=doubt) / many == pytest.approx(low, abs=1e-4)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((15_000, 200, 0), "no deviation among 200 of 15,000 contacts: {} at most 1.5 % deviate"),
        ((15_000, 3_000, 0), "no deviation among 3,000 of 15,000 contacts: {} at most 0.1 % deviate"),
        (
            (15_000, 200, 7),
            "7 of 200 contacts deviate, drawn from 15,000: {} between 1.4 % and 7.1 % do ({} contacts)",
        ),
        ((40, 40, 0), "no deviation among all 40 contacts"),
        ((40, 40, 1), "1 deviation among all 40 contacts"),
    ],
)
def test_it_says_so_in_words(numbers, said):
    assert in_words(*numbers) == said.format("with 95 % confidence", "215 to 1,058")
