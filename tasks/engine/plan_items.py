"""What a plan is made of: of each source contact what is to be brought there, and the requests foreseen.

Pure, and plain JSON at its edges: a plan is kept sealed in the ledger, and exported as a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tasks.engine.shape import Bundle
from tasks.mapping.desired import Desired, Mapped, Refused, Skipped

Key = tuple[str, str]
"""A record: entity and source id."""
_KINDS: dict[str, type[Desired | Skipped | Refused]] = {
    "desired": Desired,
    "skipped": Skipped,
    "refused": Refused,
}


@dataclass(frozen=True, slots=True)
class Item:
    """What a plan does about one source contact, in this order.

    Attributes:
        bundle: what the destination should hold for it and its activities.
        release: records that lose their place at the destination first: they are created anew.
        part: records whose counterparts at the destination are deleted.
    """

    bundle: Bundle
    release: tuple[Key, ...] = ()
    part: tuple[Key, ...] = ()

    @property
    def contact_id(self) -> str:
        """The source contact's id."""
        return self.bundle.contact_id

    def as_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "bundle": bundle_as_json(self.bundle),
            "release": [list(key) for key in self.release],
            "part": [list(key) for key in self.part],
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `as_json` made."""
        return cls(bundle_from_json(kept["bundle"]), _keys(kept["release"]), _keys(kept["part"]))


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One writing request as a plan foresees it.

    Attributes:
        name: of the operation in the catalogue, such as ``update-contact``; routes add `event`, `webhook`.
        entity: of the record that it is about.
        source_id: of that record.
        target: id of what is changed or deleted; of the contact under which an activity is created.
        write: what is sent, by our names of the fields.
        before: what stood there for these.
    """

    name: str
    entity: str
    source_id: str
    target: str | None = None
    write: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def contact_of(source_id: str) -> str:
    """The source contact that a record belongs to: an activity's source id begins with its contact's."""
    return source_id.partition("/")[0]


def bundle_as_json(bundle: Bundle) -> dict[str, Any]:
    """A bundle as plain JSON."""
    return {
        "contact_id": bundle.contact_id,
        "contact": _mapped_as_json(bundle.contact) if bundle.contact is not None else None,
        "children": {
            entity: [_mapped_as_json(one) for one in several] for entity, several in bundle.children.items()
        },
        "fingerprints": [[*key, value] for key, value in bundle.fingerprints.items()],
    }


def bundle_from_json(kept: Mapping[str, Any]) -> Bundle:
    """What `bundle_as_json` made."""
    return Bundle(
        contact_id=kept["contact_id"],
        contact=_mapped_from_json(kept["contact"]) if kept["contact"] is not None else None,
        children={
            entity: [_mapped_from_json(one) for one in several]
            for entity, several in kept["children"].items()
        },
        fingerprints={(entity, source_id): value for entity, source_id, value in kept["fingerprints"]},
    )


def _mapped_as_json(mapped: Mapped) -> dict[str, Any]:
    kind = next(name for name, made in _KINDS.items() if isinstance(mapped, made))
    return {"kind": kind, **asdict(mapped)}


def _mapped_from_json(kept: Mapping[str, Any]) -> Mapped:
    values = {name: value for name, value in kept.items() if name != "kind"}
    if "kept_back" in values:
        values["kept_back"] = tuple(values["kept_back"])
    return _KINDS[kept["kind"]](**values)


def _keys(kept: Sequence[Sequence[str]]) -> tuple[Key, ...]:
    return tuple((entity, source_id) for entity, source_id in kept)
