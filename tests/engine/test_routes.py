"""What tags start, as the user sees it: enrolments at the destination, messages at a receiver, events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from tasks.engine.effects import Effects
from tasks.engine.explain import story
from tasks.engine.report import Report
from tasks.engine.status import standings
from tasks.engine.steps import open_steps, turn
from tasks.errors import VoipsyncError
from tasks.options import SyncOptions
from tests.support.accounts import settings_of, sync
from tests.support.receiver import DROP, Receiver, is_signed, receiving

SECRET = "a shared secret"
WELCOME = {"tag": "vip", "workflow": "Welcome"}
FAREWELL = {"tag": "vip", "when": "removed", "workflow": "Welcome"}
EVENT = {"tag": "vip", "event": "crm.vip"}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr("tasks.transport.FIRST_PATIENCE_SECONDS", 0.1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def hook(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"tag": "vip", "webhook": receiver.url, "webhook_secret": "${WEBHOOK_SECRET}", **more}


def person(box, number=1, **values):
    given = {"first_name": f"Person{number}", "email": f"person{number}@example.com"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def enrolled(box):
    """E-mail addresses of the contacts that were enrolled, in order."""
    emails = {row["id"]: row["email"] for row in box.contacts()}
    return [emails[entry["contactId"]] for entry in box.state("highlevel", "enrolments")]


async def go(box, url, *routes, **mapping) -> Report:
    return await sync(box, url, mapping={"routes": routes, **mapping})


@pytest.fixture
async def settled(box, url):
    """An account whose first sync is long over."""
    person(box, 1)
    await sync(box, url)


async def test_a_new_contact_with_the_tag_is_enrolled_once(box, url, settled):
    person(box, 2, labels=["VIP"])
    person(box, 3, labels=["other"])
    assert (await go(box, url, WELCOME)).status == "ok"
    assert enrolled(box) == ["person2@example.com"]
    box.reset_counters()
    assert (await go(box, url, WELCOME)).status == "ok"
    assert box.counters()["highlevel"]["requests"] == 0


async def test_a_contact_found_there_is_enrolled_where_the_tag_is_new_to_it(box, url, settled):
    box.insert("contacts", firstName="Person2", email="person2@example.com", tags=["vip"])
    box.insert("contacts", firstName="Person3", email="person3@example.com")
    person(box, 2, labels=["vip"])
    person(box, 3, labels=["vip"])
    assert (await go(box, url, WELCOME)).entities["contacts"]["adopted"] == 2
    assert enrolled(box) == ["person3@example.com"]


async def test_history_starts_nothing_unless_asked(box, url):
    for number in (1, 2):
        person(box, number, labels=["vip", "old"])
    await go(box, url, WELCOME, {**WELCOME, "tag": "old", "history": True})
    assert sorted(enrolled(box)) == ["person1@example.com", "person2@example.com"]
    assert len(box.state("highlevel", "enrolments")) == 2
    person(box, 3, labels=["vip"])
    await go(box, url, WELCOME)
    assert enrolled(box)[2:] == ["person3@example.com"]


async def test_what_the_first_sync_did_not_deliver_is_history_too(box, url):
    person(box, 1, labels=["vip"])
    box.fault("status", method="POST", path="/contacts/$", status=400, body={"message": "No."})
    await go(box, url, WELCOME)
    box.clear_faults()
    assert (await go(box, url, WELCOME)).entities["contacts"]["created"] == 1
    assert enrolled(box) == []


async def test_a_first_sync_that_was_cut_short_leaves_the_rest_history(box, url):
    for number in range(1, 61):
        person(box, number, labels=["vip"])
    box.fault("status", method="GET", path="/contacts", status=404, service="voipstudio", after=1)
    assert (await sync(box, url, source={"page_size": 50})).status == "failed"
    box.clear_faults()
    assert (await go(box, url, WELCOME)).status == "ok"
    assert (len(box.contacts()), enrolled(box)) == (60, [])


async def test_a_tag_that_comes_and_goes(box, url, settled, receiver):
    routes = (WELCOME, hook(receiver), hook(receiver, when="removed"))
    for labels in (["vip"], [], ["vip"]):
        box.edit_source("contacts", 1, labels=labels)
        assert (await go(box, url, *routes)).status == "ok"
    assert [message["when"] for message in receiver.messages] == ["added", "removed", "added"]
    assert len(set(receiver.keys)) == 3
    assert enrolled(box) == ["person1@example.com"]  # the second time, the contact is still in it
    assert box.contacts()[0]["tags"] == ["vip"]


async def test_a_message_names_the_contact_by_ids_alone(box, url, settled, receiver):
    number = person(box, 2, first_name="Zoe", labels=["vip"])
    await go(box, url, hook(receiver))
    [(headers, body)], [message] = receiver.came, receiver.messages
    contact = next(row for row in box.contacts() if row.get("firstName") == "Zoe")
    assert is_signed(headers, body, SECRET)
    assert message.pop("at").endswith("+00:00")
    assert message == {
        "account": "acme",
        "location_id": box.location_id,
        "contact_id": contact["id"],
        "source_id": str(number),
        "tag": "vip",
        "when": "added",
        "id": headers["idempotency-key"],
    }


@pytest.mark.parametrize("answer", [200, 400])
async def test_an_address_that_is_as_good_as_a_secret_is_not_explained(box, url, receiver, answer):
    receiver.always = answer
    mapping = {"routes": [hook(receiver, webhook=f"{receiver.url}/services/T0PSECRET-B0X", history=True)]}
    who = str(person(box, labels=["vip"]))
    await sync(box, url, mapping=mapping)
    told = story("acme", settings_of(box, url, mapping=mapping), "contacts", who)
    assert len(receiver.came) >= 1
    assert "webhook http://127.0.0.1:" in str(told)
    assert "T0PSECRET" not in str(told)


async def test_a_changed_configuration_starts_nothing_for_what_was_there(box, url, settled, receiver):
    box.edit_source("contacts", 1, labels=["gold", "team"], group_name="Club")
    added = [{**hook(receiver), "tag": tag} for tag in ("vip", "x-gold", "gold", "x-team", "club", "x-club")]
    routes = [*added, *({**route, "when": "removed"} for route in added)]
    for mapping in (
        {},
        {"tag_rename": {"gold": "vip"}},
        {"tag_prefix": "x-"},
        {"tag_deny": ["gold"], "group_as_tag": False},
        {"default_country": "FR"},
        {},
    ):
        receiver.came.clear()
        assert (await go(box, url, *routes, **mapping)).status == "ok"
        if mapping:
            assert receiver.came == []
    assert sorted(box.contacts()[0]["tags"]) == ["club", "gold", "team"]


async def test_a_changed_label_counts_by_todays_configuration(box, url, settled, receiver):
    routes = [hook(receiver), hook(receiver, tag="red"), hook(receiver, tag="red", when="removed")]
    box.edit_source("contacts", 1, labels=["red", "denied"])
    await go(box, url, *routes, tag_deny=["denied"])
    receiver.came.clear()
    # a renamed label does not appear; one that was denied so far does not either, when it becomes a tag
    box.edit_source("contacts", 1, labels=["red", "denied", "new"])
    await go(box, url, *routes, tag_rename={"red": "crimson", "denied": "vip"})
    assert (sorted(box.contacts()[0]["tags"]), receiver.came) == (["crimson", "new", "vip"], [])


async def test_what_people_do_there_starts_nothing(box, url, settled, receiver):
    routes = (hook(receiver), hook(receiver, when="removed"))
    contact = box.contacts()[0]["id"]
    box.edit("contacts", contact, tags=["vip"])
    box.edit_source("contacts", 1, labels=["vip"])
    await go(box, url, *routes)
    box.edit_source("contacts", 1, labels=["vip", "lead"])
    await go(box, url, *routes, hook(receiver, tag="lead", when="removed"))
    box.edit("contacts", contact, tags=["vip"])
    box.edit_source("contacts", 1, labels=[])
    await go(box, url, *routes, hook(receiver, tag="lead", when="removed"))
    assert (receiver.came, box.contact(contact)["tags"]) == ([], ["vip"])


async def test_a_tag_that_a_second_entry_of_the_person_still_has_is_not_gone(box, url, receiver):
    for number in (1, 2):
        person(box, number, email="same@example.com", labels=["vip"])
    routes = (hook(receiver), hook(receiver, when="removed"))
    await go(box, url, *routes)
    for number, gone in ((1, []), (2, ["removed"])):
        box.edit_source("contacts", number, labels=[])
        await go(box, url, *routes)
        assert [message["when"] for message in receiver.messages] == gone


@pytest.mark.parametrize("kind", ["commit_then_status", "commit_then_drop", "truncate"])
async def test_an_enrolment_whose_answer_is_lost_has_one_effect(box, url, settled, kind):
    person(box, 2, labels=["vip"])
    more = {"status": 502} if kind == "commit_then_status" else {}
    box.fault(kind, method="POST", path="/workflow/", **more)
    report = await go(box, url, WELCOME)
    assert report.status == "degraded"
    assert report.warnings[0].startswith("routes: 1 workflow not done yet (unknown_outcome): HighLevel")
    box.clear_faults()
    assert (await go(box, url, WELCOME)).status == "ok"
    assert enrolled(box) == ["person2@example.com"]


@pytest.mark.parametrize("path", ["/contacts/$", "/tags$"])
async def test_a_tag_whose_answer_is_lost_starts_one_enrolment(box, url, settled, path):
    box.fault("commit_then_status", method="POST", path=path, status=502, count=1)
    person(box, 2, labels=["vip"])
    box.edit_source("contacts", 1, labels=["vip"])
    await go(box, url, WELCOME)
    assert (await go(box, url, WELCOME)).status == "ok"
    assert sorted(enrolled(box)) == ["person1@example.com", "person2@example.com"]
    assert len(box.state("highlevel", "enrolments")) == 2


async def test_a_tag_that_arrived_before_its_contact_was_refused_starts_its_route(box, url, settled):
    box.edit_source("contacts", 1, labels=["vip"])
    box.fault("commit_then_status", method="POST", path="/tags$", status=502)
    await go(box, url, WELCOME)
    box.clear_faults()
    box.edit_source("contacts", 1, labels=["vip"], last_name="Other")
    box.fault("status", method="PUT", path="/contacts/", status=400, body={"message": "No."})
    await go(box, url, WELCOME)
    box.clear_faults()
    assert (await go(box, url, WELCOME)).status == "ok"
    assert enrolled(box) == ["person1@example.com"]


async def test_a_refused_contact_keeps_its_routes_waiting(box, url, settled):
    person(box, 2, labels=["vip"])
    box.fault("status", method="POST", path="/contacts/$", status=400, body={"message": "No."})
    assert (await go(box, url, WELCOME)).status == "degraded"
    assert enrolled(box) == []
    box.clear_faults()
    assert (await go(box, url, WELCOME)).status == "ok"
    assert enrolled(box) == ["person2@example.com"]


@pytest.mark.parametrize("moment", ["its contact was saved", "its intent was saved", "it was sent"])
async def test_a_run_that_dies_after(box, url, settled, receiver, moment):
    """Whatever it was that the run still managed to do: the next one does each effect once."""
    person(box, 2, labels=["vip"])
    routes = (WELCOME, hook(receiver))
    real = Effects._do

    async def dies(effects, *some):
        if moment == "it was sent":
            await real(effects, *some)
        raise RuntimeError("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Effects, "perform" if "contact" in moment else "_do", dies)
        with pytest.raises(RuntimeError, match="killed"):
            await go(box, url, *routes)
    assert (await go(box, url, *routes)).status == "ok"
    assert enrolled(box) == ["person2@example.com"]
    assert len(set(receiver.keys)) == 1


async def test_a_webhook_that_is_down_degrades_runs_until_it_is_back(box, url, settled, receiver):
    receiver.always = 500
    for number in range(2, 6):
        person(box, number, labels=["vip"])
    for _ in range(2):
        report = await go(box, url, hook(receiver))
        assert report.status == "degraded"
        assert any("4 webhook not done yet (" in warning for warning in report.warnings)
    settings = settings_of(box, url)
    assert standings(settings.state, settings.accounts)[0]["open_effects"] == 4
    receiver.always = 200
    receiver.came.clear()
    assert (await go(box, url, hook(receiver))).status == "ok"
    assert len(set(receiver.keys)) == len(receiver.came) == 4
    assert standings(settings.state, settings.accounts)[0]["open_effects"] == 0


async def test_a_message_that_was_taken_and_not_answered_keeps_its_key(box, url, settled, receiver):
    receiver.always = DROP
    person(box, 2, labels=["vip"])
    assert (await go(box, url, hook(receiver))).status == "degraded"
    receiver.always = 200
    assert (await go(box, url, hook(receiver))).status == "ok"
    assert len(receiver.came) > 1
    assert len(set(receiver.keys)) == 1


async def test_a_redirect_is_refused_and_the_sync_goes_on(box, url, settled, receiver):
    receiver.always = 302
    person(box, 2, labels=["vip"])
    report = await go(box, url, hook(receiver))
    assert report.status == "degraded"
    assert report.warnings[0].startswith("routes: 1 webhook not done yet (redirected): the webhook redirects")
    assert (len(box.contacts()), len(receiver.came)) == (2, 1)
    # who gives a route up is rid of what it has open
    assert (await go(box, url)).status == "ok"


async def test_a_contact_that_was_deleted_meanwhile_is_not_waited_for(box, url, settled):
    person(box, 2, labels=["vip"])
    box.fault("status", method="POST", path="/workflow/", status=400, body={"message": "No."})
    assert (await go(box, url, WELCOME)).status == "degraded"
    box.clear_faults()
    box.delete("contacts", next(row["id"] for row in box.contacts() if "2" in row["email"]))
    assert (await go(box, url, WELCOME)).status == "ok"


async def test_an_enrolment_in_a_draft_is_ignored_there_and_counts_as_done(box, url, settled):
    person(box, 2, labels=["vip"])
    assert (await go(box, url, {**WELCOME, "workflow": "Draft"})).status == "ok"
    assert enrolled(box) == []


async def test_two_routes_on_one_tag_and_events(box, url, settled, receiver):
    person(box, 2, labels=["vip"])
    events: list[Any] = []

    async def emit(some):
        events.extend(some)
        if len(events) == 1:
            raise ConnectionError("no answer")

    async def under_a_shell() -> Report:
        mapping = {"routes": [EVENT, hook(receiver)]}
        async with open_steps("acme", SyncOptions(), settings_of(box, url, mapping=mapping)) as steps:
            steps.effects.emit = emit
            try:
                await turn(steps)
            except VoipsyncError as error:
                steps.error = error
            return await steps.conclude()

    waiting = await go(box, url, EVENT, hook(receiver))
    assert (waiting.status, len(receiver.came)) == ("degraded", 1)
    assert "routes: 1 event not done yet (pending)" in waiting.warnings
    unknown = await under_a_shell()
    assert unknown.warnings == [
        "routes: 1 event not done yet (unknown_outcome): Prefect takes no events (ConnectionError)"
    ]
    assert (await under_a_shell()).status == "ok"
    first, again = events
    assert first == again
    assert UUID(first.id)
    assert first.name == "crm.vip"
    contact = first.payload["contact_id"]
    assert first.resource == {"prefect.resource.id": f"voipsync.contact.acme.{contact}"}
    assert len(receiver.came) == 1
