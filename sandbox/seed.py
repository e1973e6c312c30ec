"""Fills VoIPstudio with realistic, messy data: the same data for the same ``contacts`` and ``seed``.

By default nothing in it must end rejected or ambiguous at the destination: no two contacts share an e-mail,
everybody on a shared line has an own e-mail, every activity has sound times. ``poison`` adds rows of wrong
types, ``duplicates`` adds second entries of people who are there already.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sandbox import texts
from sandbox.wire import Row

if TYPE_CHECKING:
    from sandbox.source import Source

DAY = 86_400
EPOCH = 1_767_312_000  # 2026-01-02 00:00:00 UTC: everything is seeded around it
CYCLE = 40  # what is special about a contact repeats after so many
INTERNAL, NO_EMAIL, NO_PHONE, NEITHER, BAD_EMAIL = {11}, {5, 23}, {8, 29}, {17}, {33}
SHORT_CODE, EXTENSION, SEVERAL, CALL_BACK, TEXT = {14}, {20, 36}, {2, 9, 26}, {3, 22, 31}, {1, 13, 24, 38}
SHARED = {6: 6, 7: 6, 27: 27, 28: 27, 30: 27}
LONG_NOTE, DATE_GAP = 19, 4


def seed_source(source: Source, *, contacts: int = 200, seed: int = 7, activities: bool = True) -> None:
    """Adds ``contacts`` contacts, their activities, and the account's users."""
    rng = random.Random(f"seed-{seed}")
    seed_users(source)
    for number in range(1, contacts + 1):
        row = source.add_contact(_contact(rng, number))
        if activities and number % CYCLE not in INTERNAL:
            _activities(source, rng, row["id"], number)


def seed_users(source: Source) -> None:
    """The people who work in the account."""
    for user_id, first, last in (
        (10002, "Olivia", "Admin"),
        (10003, "Sam", "Seller"),
        (10004, "Nina", "Support"),
    ):
        source.users[user_id] = {
            "id": user_id, "first_name": first, "last_name": last, "ext": str(user_id - 9902),
            "email": f"{first.lower()}@voipsync.example.com", "active": True, "dnd": False,
            "nb_sip_locations": 1,
        }  # fmt: skip


def _contact(rng: random.Random, number: int) -> Row:
    place = number % CYCLE
    first, last = texts.PEOPLE[rng.randrange(len(texts.PEOPLE))]
    row: Row = {
        "first_name": first or None, "last_name": f"{last} {number}" if last else None,
        "email": f"{'Person' if number % 3 else 'person'}.{number}@Mail{number % 7}.example.com",
        "company": rng.choice(texts.COMPANIES), "group_name": rng.choice(texts.GROUPS),
        "labels": rng.sample(texts.LABELS, rng.choice((0, 0, 1, 2, 3))), "global": rng.random() < 0.8,  # noqa: PLR2004
        "internal": place in INTERNAL, "user_id": 10002 + number % 3, "type": 1,
        "nb_call_attempts": rng.randrange(5),
        "created_at": EPOCH - rng.randrange(400) * DAY - rng.randrange(DAY),
        "tel": phone(SHARED_BASE + number - place + SHARED[place] if place in SHARED else number),
    }  # fmt: skip
    row["groups"] = [row["group_name"]] if row["group_name"] and number % 2 else []
    if place in NO_EMAIL | NEITHER:
        row["email"] = rng.choice((None, ""))
    if place in BAD_EMAIL:
        row["email"] = f"person {number} at example"
    if place in NO_PHONE | NEITHER | INTERNAL:
        row["tel"] = None
    if place in INTERNAL:
        row.update(ext=str(100 + number), rel_user_id=10003, email=f"colleague.{number}@voipsync.example.com")
    _more_phones(rng, row, number)
    if place in CALL_BACK:
        row["next_call_at"] = EPOCH + rng.randrange(1, 60) * DAY + 36_000
        row["last_call_at"] = EPOCH - rng.randrange(1, 60) * DAY
    if place in TEXT:
        row["notes"] = rng.choice(texts.NOTES)
    return row


SHARED_BASE = 5_000_000  # numbers of shared lines, apart from everybody's own


def _more_phones(rng: random.Random, row: Row, number: int) -> None:
    place = number % CYCLE
    if place in SHORT_CODE:
        row["tel_1"] = rng.choice(("112", "4001", "*55"))
    if place in EXTENSION:
        row["tel"] = f"+44 20 {7000 + number // 10_000} {number % 10_000:04d} ext. {rng.randrange(10, 99)}"
        row["mobile"] = phone(number + 1_000_000)
    if place in SEVERAL:
        row["tel_1"], row["mobile"] = phone(number + 2_000_000), phone(number + 3_000_000)
        row["mobile_1"] = rng.choice(("n/a", "ask for Bob", "07700"))


def phone(number: int) -> str:
    """A number of its own for each ``number``; country and way of writing follow from it.

    VoIPstudio's own way is international digits without a plus; people type the others.
    """
    mixed = number * 7919  # coprime to the spaces below: no two alike
    eight, seven = f"{mixed % 100_000_000:08d}", f"{mixed % 10_000_000:07d}"
    local = mixed % 8_000_000 + 2_000_000
    shapes = (
        f"4471{eight}",
        f"072{eight[:2]} {eight[2:]}",
        f"346{eight}",
        f"+1 (212) {local // 10_000}-{local % 10_000:04d}",
        f"3361{seven}",
        f"+49 151 {eight}",
        f"+353 87 {seven[:3]} {seven[3:]}",
    )
    return shapes[number % len(shapes)]


def _activities(source: Source, rng: random.Random, contact_id: int, number: int) -> None:
    stamps = {"user_id": 10002 + number % 3}
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        created = EPOCH - rng.randrange(200) * DAY + rng.randrange(DAY)
        body = texts.long_note(number) if rng.randrange(40) == 0 else rng.choice(texts.NOTES)
        when = {"created_at": created, "updated_at": created + rng.choice((0, 3600))}
        source.add_activity("notes", contact_id, {"body": body, **stamps, **when})
    for _ in range(rng.choice((0, 0, 0, 1, 1, 3))):
        created = EPOCH - rng.randrange(100) * DAY
        title, body = rng.choice(texts.TASKS)
        due = (
            None
            if rng.randrange(12) == 0
            else created + rng.randrange(1, 60) * DAY + rng.randrange(24) * 3600
        )
        item = {"title": title, "body": body, "due_at": due, "completed": rng.random() < 0.3}  # noqa: PLR2004
        source.add_activity(
            "tasks", contact_id, {**item, **stamps, "created_at": created, "updated_at": created}
        )
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        created = EPOCH - rng.randrange(100) * DAY
        title, place, notes = rng.choice(texts.APPOINTMENTS)
        start = created + rng.randrange(1, 120) * DAY + rng.randrange(16, 40) * 1800
        end = None if rng.randrange(10) == 0 else start + rng.choice((1800, 3600, 5400))
        item = {"title": title, "starts_at": start, "ends_at": end, "status": rng.choice(texts.STATUSES)}
        more: Row = {"location": place, "notes": notes, "created_at": created, "updated_at": created}
        source.add_activity("appointments", contact_id, {**item, **stamps, **more})


POISON: tuple[Row, ...] = (
    {"email": {"address": "x@example.com"}},
    {"first_name": ["A", "B"]},
    {"tel": {"number": 1}},
    {"labels": 7},
    {"created_at": {"date": "2026"}},
)


def add_poison(source: Source, rows: int) -> list[int]:
    """Adds contacts with values of wrong types; answers their ids."""
    added = []
    for number in range(rows):
        base: Row = {
            "first_name": "Poison",
            "last_name": str(number),
            "email": f"poison.{number}@example.com",
        }
        row = {**base, "created_at": EPOCH, **POISON[number % len(POISON)]}
        added.append(source.add_contact(row)["id"])
    return added


def add_duplicates(source: Source, rows: int) -> list[int]:
    """Adds second entries (same name, e-mail and phone) of people who are there already."""
    originals = [
        row for row in source.contacts.values() if row["email"] and row["tel"] and not row["internal"]
    ]
    added = []
    for row in originals[:rows]:
        names = ("first_name", "last_name", "email", "tel", "created_at", "company")
        twin = {name: row[name] for name in names}
        added.append(source.add_contact({**twin, "labels": ["Twin"]})["id"])
    return added
