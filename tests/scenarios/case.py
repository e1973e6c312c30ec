"""A scenario as it is written: README.md beside this file explains the notation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

Fields = dict[str, Any]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(_Closed):
    """The location before anybody does anything."""

    duplicates: Literal["allowed", "refused"] = "refused"
    timezone: str = "Europe/London"
    country: str = "GB"
    custom_fields: dict[str, str] = {}


class Then(_Closed):
    """How the CRM must look, and what the last sync must have said."""

    crm: dict[str, Fields | Literal["absent"]] = {}
    status: Literal["ok", "degraded", "failed"] = "ok"
    report: dict[str, dict[str, int]] = {}
    says: list[str] = []
    refused: list[str] = []
    writes: Literal[0] | dict[str, int] | None = None
    webhook: list[str] | None = None


class Case(_Closed):
    """One row of the table."""

    name: str
    settings: dict[str, Fields] = {}
    location: Place = Place()
    endpoints: Literal["all", "none"] = "all"
    source: dict[str, Fields] = {}
    crowd: int = 0
    crm: dict[str, Fields] = {}
    steps: list[str | dict[str, Any]] = Field(min_length=1)
    then: Then
    settles: bool = True

    @property
    def streams(self) -> dict[str, str]:
        """Which lists of activities are read: to ask for those that a case does not name takes longest."""
        said = set(_names(self.model_dump()))
        return {name: "auto" if name in said else "off" for name in ("notes", "tasks", "appointments")}

    @property
    def labels_of_crowd(self) -> list[str]:
        """People who are only there to be many."""
        return [f"crowd {number}" for number in range(1, self.crowd + 1)]


def _names(value: Any) -> Iterator[str]:
    """All keys of a case, however deep."""
    if isinstance(value, dict):
        yield from value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        yield from _names(item)


class _Loader(yaml.CSafeLoader):
    """YAML in which times stay as they are written."""


_Loader.yaml_implicit_resolvers = {
    first: [one for one in known if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def cases(path: Path) -> list[Case]:
    """The cases of a file."""
    rows = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    return [Case.model_validate(row) for row in rows]
