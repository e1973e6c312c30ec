"""Every reason code that the code can give has its sentence and its remedy, and none stands there in vain."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.engine.remedies import REASONS, in_words, reason_of, remedy
from tasks.highlevel.refusals import _REASONS as BY_MESSAGE

TASKS = Path(__file__).parents[2] / "tasks"
POSITIONS = {"Refused": 3, "Skipped": 3, "BadRow": 1, "gone": 1, "_leave": 1, "skipped": 1}
"""Where a call takes a code without its name."""
BUILT = {"duplicate_contact", "duplicate_email", "duplicate_phone", "contact_left", "contact_skipped"} | {
    "changed_on_both_sides"
}
"""Made of a word of the service's, or of a state; or noted in a run's report alone."""


def words(node: ast.AST | None) -> Iterator[str]:
    """The texts that an expression may be."""
    match node:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from words(body)
            yield from words(orelse)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            for part in parts:
                yield from words(part.value if isinstance(part, ast.Starred) else part)


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def given(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "reason":
                    yield from words(keyword.value)
            position = POSITIONS.get(name_of(node))
            if position is not None and len(node.args) > position:
                yield from words(node.args[position])
        elif isinstance(node, ast.Assign) and any(getattr(one, "id", "") == "reason" for one in node.targets):
            yield from words(node.value)
        elif isinstance(node, ast.AugAssign) and getattr(node.target, "id", "") == "kept_back":
            yield from words(node.value)
            if isinstance(node.value, ast.IfExp):
                yield from (word for part in (node.value.body, node.value.orelse) for word in words(part))
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple | ast.IfExp):
            # (value, codes): what mapping can do without
            branches = (
                [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
            )
            for branch in branches:
                if (
                    isinstance(branch, ast.Tuple)
                    and len(branch.elts) == 2
                    and isinstance(branch.elts[1], ast.Tuple)
                ):
                    yield from words(branch.elts[1])


@pytest.fixture(scope="module")
def codes() -> set[str]:
    """The codes that the engine, the mapping and the services' clients give."""
    found = {code for _, code in BY_MESSAGE} | BUILT | {"deleted_at_destination"}
    for folder in ("engine", "mapping", "highlevel", "voipstudio"):
        for path in (TASKS / folder).rglob("*.py"):
            if path.name not in ("login.py", "services.py", "gateway.py", "oauth.py"):
                found.update(given(ast.parse(path.read_text(encoding="utf-8"))))
    return {code for code in found if code.replace("_", "").isalpha() and code.islower()}


def test_every_code_has_its_sentence_and_none_is_in_vain(codes: set[str]) -> None:
    assert {"slot_taken", "bad_created_at", "invalid_email", "edited", "missing_id", "internal"} <= codes
    assert codes == set(REASONS)


def test_a_remedy_is_one_line_and_names_no_secret() -> None:
    for one in REASONS.values():
        assert one.means
        assert "\n" not in one.means + one.remedy
        assert not one.remedy.endswith(".")


def test_what_the_services_say_of_their_own_has_a_remedy_too() -> None:
    assert "HTTP 422" in reason_of("http_422").means
    assert reason_of("http_0").means == "no answer came"
    assert "merge" in remedy("duplicate_website")
    assert "voipsync explain" in remedy("something_else")
    assert in_words("no_date") == (
        "(no_date): it has no date, and nothing stands in for one; "
        "correct it in VoIPstudio: the next sync tries again"
    )
