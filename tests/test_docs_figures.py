"""What the guides say in figures and tables, held against the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.engine.confidence import in_words
from tasks.engine.drafts import TEMPLATES
from tasks.engine.outcome import FIRST_PAUSE_SECONDS, FREE_ATTEMPTS, LAST_ATTEMPT
from tasks.engine.verify_report import KINDS
from tasks.options import FleetOptions

DOCS = Path(__file__).parents[1] / "docs"


def guide(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_what_a_sample_says_is_what_the_guide_says() -> None:
    assert f"\n{in_words(15_000, 200, 0)}\n" in guide("verify.md")
    assert in_words(15_000, 1_000, 0).endswith(" at most 0.3 % deviate")
    assert "the limit would be 0.3 %" in guide("verify.md")


def test_what_verify_may_find_has_a_row_each() -> None:
    assert [kind for kind in KINDS if f"\n| `{kind}` |" not in guide("verify.md")] == []


def test_a_fleets_options_have_a_row_each_with_the_default() -> None:
    for name, field in FleetOptions.model_fields.items():
        if name != "deployment":  # of no use to a reader who has not made another one
            default = f" {field.default:g} |" if isinstance(field.default, float | int) else ""
            assert f"\n| `{name}` |{default}" in guide("fleets.md")


def test_every_template_has_a_row() -> None:
    assert [name for name in TEMPLATES if f"\n| `{name}` |" not in guide("getting-started.md")] == []


def test_when_what_was_refused_is_tried_again() -> None:
    told, first = guide("operating.md"), FIRST_PAUSE_SECONDS / 60
    assert f"\n| up to {FREE_ATTEMPTS - 1} times | by every sync |" in told
    doubling = f"after {first:g} minutes, then {2 * first:g}, {4 * first:g}"
    assert f"\n| {FREE_ATTEMPTS} to {LAST_ATTEMPT - 1} times | {doubling}" in told
    assert f"\n| {LAST_ATTEMPT} times | by no ordinary sync any more" in told
    pauses = FIRST_PAUSE_SECONDS * sum(2.0**number for number in range(LAST_ATTEMPT - FREE_ATTEMPTS))
    assert pauses / 86_400 == pytest.approx(7, abs=0.5)  # "in all for about a week"
