"""What a test or benchmark holds in its hand: addresses, credentials, and helpers over the control API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sandbox.highlevel import HighLevel
    from sandbox.voipstudio import VoipStudio
    from sandbox.wire import Json, Row


class Perform(Protocol):
    """Carries out a control action, in this process or over HTTP."""

    def __call__(self, method: str, noun: str, payload: Row | None = None) -> Json:
        """See ``sandbox.control``."""


class Box:
    """A running sandbox.

    Attributes:
        info: Everything ``scenario.begin`` answers, and the two addresses.
        voipstudio: The source's state; only where the sandbox runs in this process.
        highlevel: The destination's state; likewise.
    """

    def __init__(
        self,
        info: Row,
        perform: Perform,
        voipstudio: VoipStudio | None = None,
        highlevel: HighLevel | None = None,
    ) -> None:
        self.info = info
        self.perform = perform
        self._voipstudio = voipstudio
        self._highlevel = highlevel
        self.voipstudio_url: str = info["voipstudio_url"]
        self.highlevel_url: str = info["highlevel_url"]
        self._learn(info)

    def _learn(self, info: Row) -> None:
        self.info = {**self.info, **info}
        self.api_key: str = info["api_key"]
        self.token: str = info["token"]
        self.location_id: str = info["location_id"]
        self.calendar_id: str = info["calendar_id"]
        self.workflow_id: str = info["workflow_id"]
        self.company_id: str = info["company_id"]
        self.user_ids: list[str] = info["user_ids"]
        self.locations: list[Row] = info["locations"]
        self.oauth: Row = info["oauth"]

    @property
    def voipstudio(self) -> VoipStudio:
        """The source's state, in this process."""
        if self._voipstudio is None:
            raise RuntimeError("the sandbox runs in another process")
        return self._voipstudio

    @property
    def highlevel(self) -> HighLevel:
        """The destination's state, in this process."""
        if self._highlevel is None:
            raise RuntimeError("the sandbox runs in another process")
        return self._highlevel

    # what is there

    def state(
        self, service: str = "highlevel", entity: str | None = None, location: str | None = None
    ) -> Json:
        """Everything a service holds, or the rows of one entity."""
        return self.perform("GET", "state", {"service": service, "entity": entity, "location": location})

    def contacts(self, location: str | None = None) -> list[Row]:
        """The destination's contacts."""
        rows: list[Row] = self.state("highlevel", "contacts", location)
        return rows

    def contact(self, contact_id: str, location: str | None = None) -> Row:
        """One contact of the destination."""
        return next(row for row in self.contacts(location) if row["id"] == contact_id)

    def children(self, entity: str, contact_id: str | None = None, location: str | None = None) -> list[Row]:
        """The destination's notes, tasks or appointments, of one contact or of all."""
        rows: list[Row] = self.state("highlevel", entity, location)
        return [row for row in rows if contact_id in (None, row["contactId"])]

    def notes(self, contact_id: str | None = None, location: str | None = None) -> list[Row]:
        """The destination's notes."""
        return self.children("notes", contact_id, location)

    def tasks(self, contact_id: str | None = None, location: str | None = None) -> list[Row]:
        """The destination's tasks."""
        return self.children("tasks", contact_id, location)

    def appointments(self, contact_id: str | None = None, location: str | None = None) -> list[Row]:
        """The destination's appointments, times with the location's offset."""
        return self.children("appointments", contact_id, location)

    def source(self, entity: str = "contacts", contact_id: int | None = None) -> list[Row]:
        """VoIPstudio's rows of an entity as they are kept (moments as epoch seconds)."""
        rows: list[Row] = self.state("voipstudio", entity)
        return [row for row in rows if contact_id in (None, row.get("contact_id"))]

    # somebody works at the source or at the destination

    def insert_source(self, entity: str, parent: int | None = None, /, **values: Any) -> Row:  # noqa: ANN401
        """A new contact, or a new activity of contact ``parent``, at VoIPstudio."""
        return self._items("POST", "voipstudio", entity, parent=parent, values=values)

    def edit_source(self, entity: str, item_id: int, parent: int | None = None, /, **values: Any) -> Row:  # noqa: ANN401
        """Changes fields at VoIPstudio; ``parent`` where activity ids are not unique."""
        return self._items("PATCH", "voipstudio", entity, id=item_id, parent=parent, values=values)

    def delete_source(self, entity: str, item_id: int, parent: int | None = None, /) -> None:
        """Deletes at VoIPstudio."""
        self._items("DELETE", "voipstudio", entity, id=item_id, parent=parent)

    def insert(
        self,
        entity: str,
        parent: str | None = None,
        /,
        location: str | None = None,
        **values: Any,  # noqa: ANN401
    ) -> Row:
        """A new item at the destination; ``parent`` is the contact of a note, task or appointment."""
        return self._items("POST", "highlevel", entity, parent=parent, location=location, values=values)

    def edit(self, entity: str, item_id: str, /, location: str | None = None, **values: Any) -> Row:  # noqa: ANN401
        """Changes fields at the destination; a contact's ``customFields`` may be a map id → value."""
        return self._items("PATCH", "highlevel", entity, id=item_id, location=location, values=values)

    def delete(self, entity: str, item_id: str, /, location: str | None = None) -> None:
        """Deletes at the destination."""
        self._items("DELETE", "highlevel", entity, id=item_id, location=location)

    def merge(self, keep: str, lose: str, location: str | None = None) -> Row:
        """Merges two contacts at the destination."""
        row: Row = self.perform("POST", "merge", {"keep": keep, "lose": lose, "location": location})
        return row

    def _items(self, method: str, service: str, entity: str, **payload: Any) -> Row:  # noqa: ANN401
        row: Row = self.perform(method, "items", {"service": service, "entity": entity, **payload})
        return row

    # faults, options, counts

    def fault(self, kind: str, service: str = "highlevel", **fields: Any) -> int:  # noqa: ANN401
        """Adds a rule (fields of ``faults.Fault``); answers its id."""
        rule: Row = self.perform("POST", "faults", {"kind": kind, "service": service, **fields})
        return int(rule["id"])

    def faults(self) -> list[Row]:
        """The rules, with how often each has fired."""
        rules: list[Row] = self.perform("GET", "faults")
        return rules

    def clear_faults(self) -> None:
        """Removes all rules."""
        self.perform("DELETE", "faults")

    def options(
        self, voipstudio: Row | None = None, highlevel: Row | None = None, location: Row | None = None
    ) -> Row:
        """Switches options; answers all of them. ``location`` holds fields, and ``id`` if not the first."""
        given = {"voipstudio": voipstudio, "highlevel": highlevel, "location": location}
        answer: Row = self.perform("POST", "options", given)
        return answer

    def counters(self) -> Row:
        """``voipstudio`` and ``highlevel``: requests, statuses, operations, writes, 429s, window peaks."""
        answer: Row = self.perform("GET", "counters")
        return answer

    def reset_counters(self) -> None:
        """Counts from zero, and forgets recorded requests."""
        self.perform("DELETE", "counters")

    def writes(self) -> dict[str, int]:
        """Writes that took effect at the destination, by operation."""
        counts: dict[str, int] = self.counters()["highlevel"]["writes"]
        return counts

    def peak(self, location: str | None = None) -> int:
        """The largest number of requests ever seen in one sliding window of a location."""
        return int(self.counters()["highlevel"]["peaks"][location or self.location_id])

    def wait(self, requests: int, seconds: float) -> int:
        """Wait until HighLevel has had so many requests, or for so long; return how many it has had.

        Only where the sandbox runs in another process.
        """
        return int(self.perform("GET", "until", {"requests": requests, "seconds": seconds}))

    def record(self, *, on: bool = True) -> None:
        """Switches the recording of requests."""
        self.options(voipstudio={"record": on}, highlevel={"record": on})

    def requests(self, service: str | None = None) -> list[Row]:
        """The recorded requests in order."""
        rows: list[Row] = self.perform("GET", "requests")
        return [row for row in rows if service in (None, row["service"])]

    def cpu_seconds(self) -> float:
        """CPU time of the sandbox's process so far."""
        return float(self.perform("GET", "info")["cpu_seconds"])

    # the rest

    def new_token(
        self,
        kind: str = "pit",
        scopes: list[str] | None = None,
        expires_in: float | None = None,
        location: str | None = None,
    ) -> str:
        """A further token for a location."""
        payload = {"kind": kind, "scopes": scopes, "expires_in": expires_in, "location": location}
        return str(self.perform("POST", "token", payload))

    def revoke(self, token: str) -> None:
        """Makes a token of either service invalid."""
        self.perform("POST", "revoke", {"token": token})

    def spend(self, requests: int, *, today_only: bool = False, location: str | None = None) -> None:
        """Lets somebody else use up a location's budget."""
        self.perform("POST", "spend", {"requests": requests, "today_only": today_only, "location": location})

    def advance(self, seconds: float) -> None:
        """Moves the sandbox's clock."""
        self.perform("POST", "advance", {"seconds": seconds})

    def seed(self, **more: Any) -> Row:  # noqa: ANN401 - see ``Control``
        """Adds data: ``contacts``, ``strangers``, ``mirrored``, ``poison``, ``duplicates``."""
        answer: Row = self.perform("POST", "seed", more)
        return answer

    def reset(self, **scenario: Any) -> None:  # noqa: ANN401 - the fields of Scenario
        """Begins anew, with changed fields of the scenario."""
        self._learn(self.perform("POST", "reset", scenario))
