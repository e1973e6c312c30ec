"""A plan in words: line by line for the user's own terminal, and without values for everybody else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tasks.engine.foreseen import PLANNED
from tasks.engine.plan import PlanReport
from tasks.engine.report import DONE
from tasks.ledger import plans
from tasks.redaction import PERSONAL


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a plan."""

    name: str
    entity: str
    source_id: str
    target: str | None
    write: Mapping[str, Any]
    before: Mapping[str, Any]

    def masked(self) -> dict[str, Any]:
        """A row of a table that anyone may see: which fields, but not what they hold."""
        target = "" if self.target is None or self.target.startswith(PLANNED) else self.target
        return {
            "record": f"{self.entity} {self.source_id}",
            "request": self.name,
            "at the destination": target,
            "fields": ", ".join(f"{name}: {PERSONAL}" for name in self.write),
        }

    def told(self) -> Iterator[str]:
        """In full, for whoever the contacts are."""
        where = f" {self.target}" if self.target and not self.target.startswith(PLANNED) else ""
        linked = self.name == "update-contact" and "id" in self.write and not self.before.get("id")
        adopted = ", found in HighLevel and linked" * linked
        yield f"{self.entity} {self.source_id}: {self.name}{where}{adopted}"
        for name, value in self.write.items():
            before = self.before.get(name)
            known = before not in (None, "") and not self.name.endswith("-tags")
            yield f"    {name}: " + (f"{_text(before)} → {_text(value)}" if known else _text(value))


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, ensure_ascii=False)


def outline(connection: Connection, plan_id: str, most: int) -> list[Line]:
    """Return the first requests of a plan."""
    found: list[Line] = []
    for row in plans.walk(connection, plan_id):
        found += lines_of(row.item)
        if len(found) >= most:
            break
    return found[:most]


def lines_of(item: Mapping[str, Any]) -> list[Line]:
    """Return the requests of one item."""
    return [Line(**one) for one in item["operations"]]


def headline(made: PlanReport) -> str:
    """What a plan would cost, in one line."""
    requests = made.about["requests"]
    return (
        f"plan {made.plan_id} of {made.account}: {requests['writes']} requests that write, about "
        f"{requests['reads']} that read, {made.about['seconds']:g} s"
    )


def remarks(made: PlanReport) -> Iterator[str]:
    """What is to be said about a plan besides its requests."""
    for entity, counts in made.about["entities"].items():
        if told := [f"{counts[name]:,} {name}" for name in DONE if counts[name]]:
            yield f"{entity}: {', '.join(told)}"
    for label in made.about["fields"]:
        yield f"the location gets a custom field {label!r}"
    for one in made.about["ambiguous"]:
        may_be = f" may be any of: {', '.join(one['candidates'])}" if one["candidates"] else " needs a person"
        yield f"contact {one['source_id']}{may_be}"
    yield from made.about["told"]
    named = tuple(f"contact {one['source_id']} " for one in made.about["ambiguous"])
    yield from (warning for warning in made.about["warnings"] if not warning.startswith(named))


def markdown(made: PlanReport, then: str) -> str:
    """A plan for people, without values; ``then`` tells them what to do with it."""
    counts = made.about["operations"]
    said = [f"- {one}" for one in remarks(made)]
    return "\n".join(
        [
            f"**{headline(made)}**",
            "",
            "| request | number |",
            "| --- | ---: |",
            *(f"| {name} | {number} |" for name, number in counts.items()),
            "",
            then,
            *(["", *said] if said else []),
            "",
        ]
    )
