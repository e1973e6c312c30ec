"""CRM tasks at the destination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.engine.entities.child import Content, Place
from tasks.engine.entities.instants import utc
from tasks.highlevel.answers import CrmTask
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import CreateCrmTask, UpdateCrmTask


class CrmTasks:
    """Tasks in the CRM's sense: something to be done until a date."""

    entity = "tasks"
    text = "body"
    user = "assignedTo"

    async def create(self, api: ContactsApi, place: Place, ours: Content) -> str:
        """Create a task."""
        return (await api.create_crm_task(place.contact_id, CreateCrmTask(**ours))).id

    async def read(self, api: ContactsApi, place: Place, child_id: str) -> Content:
        """Read a task."""
        return normal_form(await api.get_crm_task(place.contact_id, child_id))

    async def update(
        self, api: ContactsApi, place: Place, child_id: str, write: Content, there: Content
    ) -> None:
        """Change a task; completing it alone has an endpoint of its own."""
        if set(write) == {"completed"}:
            await api.complete_task(place.contact_id, child_id, completed=write["completed"])
        else:
            await api.update_crm_task(place.contact_id, child_id, UpdateCrmTask(**write))

    async def delete(self, api: ContactsApi, place: Place, child_id: str) -> None:
        """Delete a task."""
        await api.delete_crm_task(place.contact_id, child_id)

    async def listing(
        self, api: ContactsApi, place: Place, around: Mapping[str, Any]
    ) -> list[tuple[str, Content]]:
        """All tasks of a contact: the API has no paging here."""
        return [(task.id, normal_form(task)) for task in await api.list_crm_tasks(place.contact_id)]


def normal_form(task: CrmTask) -> Content:
    """A task of the API in the form in which mapped contents are written."""
    return {
        "title": task.title or "",
        "body": task.body or "",
        "dueDate": utc(task.due_date) or "",
        "completed": bool(task.completed),
        "assignedTo": task.assigned_to or "",
    }
