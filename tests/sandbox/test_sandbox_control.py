"""The control API and both ways to start a sandbox."""

import subprocess
import sys
from dataclasses import asdict

import httpx
import pytest

from sandbox.scenario import Scenario
from sandbox.serve import Sandbox


@pytest.fixture(scope="module")
def child():
    with Sandbox.process(contacts=5, seed=3, burst=5000) as box:
        yield box


@pytest.fixture(params=["threaded", "process"])
def either(request, child, running):
    """The same surface in this process and over HTTP."""
    chosen = child if request.param == "process" else running
    chosen.reset(**asdict(Scenario(contacts=5, seed=3, burst=5000)))
    return chosen


def test_both_hold_the_same_data_and_credentials(child, running):
    for box in (child, running):
        box.reset(**asdict(Scenario(contacts=5, seed=3)))
    assert child.source() == running.source()
    assert child.token == running.token
    assert child.api_key == running.api_key
    assert child.calendar_id == running.calendar_id


def test_edits_at_the_source_are_seen(either):
    headers = {"X-Auth-Token": either.api_key}
    with httpx.Client(base_url=either.voipstudio_url, headers=headers) as voip:
        either.edit_source("contacts", 2, first_name="Edited")
        new = either.insert_source("contacts", first_name="New", email="new@x.org")
        note = either.insert_source("notes", new["id"], body="n")
        either.edit_source("notes", note["id"], new["id"], body="n2")
        either.delete_source("contacts", 3)
        rows = {row["id"]: row["first_name"] for row in voip.get("/contacts").json()["data"]}
        assert rows[2] == "Edited"
        assert rows[new["id"]] == "New"
        assert 3 not in rows
        assert voip.get(f"/contacts/{new['id']}/notes").json()["data"][0]["body"] == "n2"
        either.delete_source("notes", note["id"])
        assert voip.get(f"/contacts/{new['id']}/notes").json()["total"] == 0


def test_edits_at_the_destination_are_seen(either):
    field = either.insert("custom_fields", name="VoIP id")
    contact = either.insert("contacts", firstName="Ann", email="a@x.org", tags=["One"])
    either.edit("contacts", contact["id"], customFields={field["id"]: "7"}, companyName="Acme")
    note = either.insert("notes", contact["id"], body="n")
    task = either.insert(
        "tasks", contact["id"], title="t", dueDate="2026-12-01T10:00:00.000Z", completed=False
    )
    times = {"startTime": "2026-12-01T10:00:00Z", "endTime": "2026-12-01T11:00:00Z"}
    event = either.insert("appointments", contact["id"], title="e", **times)
    either.edit("notes", note["id"], body="n2")
    either.edit("tasks", task["id"], completed=True)
    either.edit("appointments", event["id"], startTime="2026-12-01T10:30:00Z")
    headers = {"Authorization": f"Bearer {either.token}", "Version": "v3"}
    with httpx.Client(base_url=f"{either.highlevel_url}/contacts/{contact['id']}", headers=headers) as crm:
        got = crm.get("").json()["contact"]
        assert got["customFields"] == [{"id": field["id"], "value": "7"}]
        assert (got["companyName"], got["tags"]) == ("Acme", ["one"])
        assert [row["body"] for row in crm.get("/notes").json()["notes"]] == ["n2"]
        assert [row["completed"] for row in crm.get("/tasks").json()["tasks"]] == [True]
        assert [row["startTime"] for row in crm.get("/appointments").json()["events"]] == [
            "2026-12-01 10:30:00"
        ]
        for entity, row in (("notes", note), ("tasks", task), ("appointments", event), ("contacts", contact)):
            either.delete(entity, row["id"])
        assert crm.get("").status_code == 400
    assert either.writes() == {}


def test_merging_moves_the_activities(either):
    keep = either.insert("contacts", firstName="Ann", email="a@x.org", tags=["a"])
    lose = either.insert("contacts", lastName="Lee", phone="+447700900123", tags=["b"])
    note = either.insert("notes", lose["id"], body="n")
    merged = either.merge(keep["id"], lose["id"])
    assert (merged["firstName"], merged["lastName"], merged["phone"]) == ("Ann", "Lee", "+447700900123")
    assert merged["tags"] == ["a", "b"]
    assert [row["id"] for row in either.notes(keep["id"])] == [note["id"]]
    assert len(either.contacts()) == 1


def test_requests_are_recorded_without_secrets(either):
    either.record()
    headers = {"Authorization": f"Bearer {either.token}", "Version": "v3"}
    body = {"locationId": either.location_id, "email": "a@x.org"}
    httpx.post(f"{either.highlevel_url}/contacts/", json=body, headers=headers)
    httpx.get(f"{either.voipstudio_url}/contacts?limit=2", headers={"X-Auth-Token": either.api_key})
    first, second = either.requests()
    assert (first["method"], first["path"], first["status"]) == ("POST", "/contacts/", 201)
    assert first["body"] == body
    assert first["headers"]["version"] == "v3"
    assert (second["service"], second["query"]) == ("voipstudio", {"limit": ["2"]})
    assert either.token not in str(either.requests())
    assert either.api_key not in str(either.requests())
    assert [row["service"] for row in either.requests("highlevel")] == ["highlevel"]
    either.record(on=False)
    either.reset_counters()
    assert either.requests() == []
    assert either.counters()["highlevel"]["requests"] == 0


def test_faults_and_options_work_over_either_surface(either):
    rule = either.fault("status", status=503, count=1)
    headers = {"Authorization": f"Bearer {either.token}", "Version": "v3"}
    address = f"{either.highlevel_url}/locations/{either.location_id}"
    assert httpx.get(address, headers=headers).status_code == 503
    assert [(row["id"], row["fired"]) for row in either.faults()] == [(rule, 1)]
    either.clear_faults()
    options = either.options(highlevel={"lag": 2}, voipstudio={"max_limit": 3}, location={"burst": 7})
    assert options["highlevel"]["lag"] == 2
    assert options["voipstudio"]["max_limit"] == 3
    assert options["locations"][either.location_id]["burst"] == 7
    assert httpx.get(address, headers=headers).headers["x-ratelimit-max"] == "7"
    assert either.peak() == 2
    with pytest.raises(ValueError, match="unknown option 'lags'"):
        either.options(highlevel={"lags": 2})
    assert either.cpu_seconds() > 0


def test_data_can_be_added(either):
    more = either.seed(strangers=2, mirrored=1)
    assert len(more["strangers"]) == 2
    assert len(either.contacts()) == 3
    either.reset(contacts=2)
    assert len(either.source()) == 2
    assert either.contacts() == []


@pytest.mark.parametrize("how", ["stdin", "terminate"])
def test_the_process_ends_with_its_parent_or_by_signal(how):
    command = [sys.executable, "-m", "sandbox.serve", "--json", '{"contacts": 1}']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b'{"voipstudio_url": "http://127.0.0.1:')
        if how == "stdin":
            process.stdin.close()
        else:
            process.terminate()
        assert process.wait(10) == 0


def test_locations_are_apart(running):
    running.reset(**asdict(Scenario(contacts=0, locations=2)))
    first, second = (place["location_id"] for place in running.locations)
    running.insert("contacts", email="a@x.org", location=second)
    assert running.contacts(first) == []
    assert [row["email"] for row in running.contacts(second)] == ["a@x.org"]
    assert running.highlevel.locations[second].limits is not running.highlevel.locations[first].limits
