"""CRM tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.mapping.dates import made
from tasks.mapping.desired import Desired, Mapped, Refused
from tasks.mapping.marker import mark
from tasks.mapping.text import block, first_line, line
from tasks.mapping.users import assigned
from tasks.voipstudio.times import RawTime, instant, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tasks.mapping.rules import Rules
    from tasks.voipstudio.models import CrmTask


def crm_tasks(items: Sequence[tuple[str, CrmTask, RawTime]], rules: Rules) -> list[Mapped]:
    """What the destination should hold for each (contact id, task, when the contact was made, as sent).

    ``content`` has ``title, body, dueDate, completed, assignedTo``. The destination wants a title and a date
    (HighLevel OpenAPI). Without a title the first line of the body is one, else "Task". A task due on a day,
    without a time, is due at the midnight with which that day begins in the account's zone. Without a due
    date a task is due when it was made, else when its contact was, else it is refused (``no_date``).
    """
    return [_crm_task(contact_id, task, fallback, rules) for contact_id, task, fallback in items]


def _crm_task(contact_id: str, task: CrmTask, fallback: RawTime, rules: Rules) -> Mapped:
    source_id = f"{contact_id}/{task.id}"
    try:
        due = instant(task.due_at, rules.zone)
    except ValueError as error:
        return Refused("tasks", source_id, contact_id, "bad_timestamp", f"due_at: {error}")
    created, kept_back = made(task.created_at, rules.zone)
    due = due or created or made(fallback, rules.zone)[0]
    if due is None:
        return Refused("tasks", source_id, contact_id, "no_date", "due_at: missing, and no date stands in")
    body = block(task.body)
    user, unknown = assigned("assignedTo", task.user_id, rules)
    title = line(task.title) or first_line(body) or "Task"
    content = crm_task_content(
        source_id, title=title, body=body, due=due, completed=bool(task.completed), made=created, rules=rules
    )
    return Desired("tasks", source_id, contact_id, {**content, **user}, (*kept_back, *unknown))


def crm_task_content(
    source_id: str,
    *,
    title: str,
    body: str,
    due: datetime,
    completed: bool,
    made: datetime | None,
    rules: Rules,
) -> dict[str, Any]:
    """The comparable content of a CRM task, its body marked."""
    marked = mark(body, "tasks", source_id, rules.origin, made)
    return {"title": title, "body": marked, "dueDate": stamp(due), "completed": completed}
