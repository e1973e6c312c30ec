"""Switchable faults: what a client sees, and whether the write took effect."""

import socket
import time

import httpx
import pytest

NOTE = {"body": "x"}


@pytest.fixture
def notes(box, create):
    """The address of a contact's notes, and the number of notes that are there."""
    contact = create(email="a@x.org")
    return f"/contacts/{contact['id']}/notes", lambda: len(box.notes(contact["id"]))


@pytest.mark.parametrize("status", [500, 502, 504, 400, 401, 403])
def test_status_applies_nothing(box, crm, notes, status):
    path, count = notes
    box.fault("status", method="POST", path="/notes$", status=status, count=1)
    assert crm.post(path, json=NOTE).status_code == status
    assert count() == 0
    assert crm.post(path, json=NOTE).status_code == 201


def test_status_with_body_and_headers(box, crm, notes):
    body = {"message": "Slow down"}
    box.fault("status", status=429, body=body, headers={"X-Why": "test"}, retry_after=2, count=1)
    answer = crm.get(notes[0])
    assert (answer.status_code, answer.json()) == (429, body)
    assert (answer.headers["x-why"], answer.headers["retry-after"]) == ("test", "2")


@pytest.mark.parametrize("status", [500, 502, 504, 422])
def test_commit_then_status_has_written(box, crm, notes, status):
    path, count = notes
    box.fault("commit_then_status", method="POST", status=status, count=1)
    assert crm.post(path, json=NOTE).status_code == status
    assert count() == 1
    assert box.writes() == {"create-contact": 1, "create-note": 1}


@pytest.mark.parametrize(
    ("kind", "written"),
    [("drop", 0), ("commit_then_drop", 1), ("malformed_headers", 0), ("truncate", 1)],
)
def test_spoilt_connections_are_protocol_errors(box, crm, notes, kind, written):
    path, count = notes
    box.fault(kind, path="/notes$", count=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        crm.post(path, json=NOTE)
    assert count() == written
    assert crm.post(path, json=NOTE).status_code == 201


@pytest.mark.parametrize(("kind", "written"), [("hang", 0), ("commit_then_hang", 1)])
def test_hanging_for_ever_ends_with_the_clients_patience(box, crm, notes, kind, written):
    path, count = notes
    box.fault(kind, path="/notes$", count=1)
    with pytest.raises(httpx.ReadTimeout):
        crm.post(path, json=NOTE, timeout=0.2)
    assert count() == written
    assert crm.get(path).status_code == 200
    assert count() == written


def test_a_slow_write_is_applied_although_nobody_waits_for_it(box, crm, notes):
    path, count = notes
    box.fault("hang", path="/notes$", seconds=0.2, count=1)
    with pytest.raises(httpx.ReadTimeout):
        crm.post(path, json=NOTE, timeout=0.05)
    assert count() == 0
    deadline = time.monotonic() + 5
    while count() == 0 and time.monotonic() < deadline:
        pass
    assert count() == 1


@pytest.mark.parametrize("sent", [b"", b'{"lastName": "Oth'])
def test_a_request_that_breaks_off_is_not_looked_at(box, crm, create, sent):
    contact = create(email="a@x.org")
    names = ("authorization", "version", "host", "user-agent")
    headers = {name: value for name, value in crm.build_request("PUT", "/").headers.items() if name in names}
    lines = [
        f"PUT /contacts/{contact['id']} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    lines += ["content-type: application/json", "content-length: 21", "", ""]
    with socket.create_connection((crm.base_url.host, crm.base_url.port)) as wire:
        wire.sendall("\r\n".join(lines).encode() + sent)
    assert crm.get(f"/contacts/{contact['id']}").status_code == 200
    assert box.writes() == {"create-contact": 1}


def test_a_hang_with_an_end_is_answered(box, crm, notes):
    box.fault("hang", seconds=0.05, count=1)
    assert crm.post(notes[0], json=NOTE).status_code == 201


@pytest.mark.parametrize("status", [None, 503])
def test_an_html_page(box, crm, notes, status):
    box.fault("html", count=1, status=status)
    answer = crm.post(notes[0], json=NOTE)
    assert answer.status_code == (status or 200)
    assert answer.headers["content-type"].startswith("text/html")
    assert notes[1]() == 0


def test_latency_is_added(box, crm, notes):
    box.fault("latency", seconds=0.05, count=1)
    box.options(highlevel={"latency": 0.05})
    began = time.monotonic()
    crm.get(notes[0])
    assert time.monotonic() - began >= 0.1


def test_a_storm_of_429s_ends(box, crm, notes):
    box.fault("rate_limit_storm", seconds=5, retry_after=1)
    answer = crm.get(notes[0])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert crm.get(notes[0]).status_code == 429
    box.advance(6)
    assert crm.get(notes[0]).status_code == 200


def test_rules_count_skip_and_choose(box, crm, notes):
    path, _ = notes
    box.fault("status", status=500, method="GET,PUT", path="/notes", after=1, count=2)
    assert [crm.get(path).status_code for _ in range(4)] == [200, 500, 500, 200]
    box.clear_faults()
    box.fault("status", status=500, containing="poison")
    assert crm.post(path, json={"body": "harmless"}).status_code == 201
    assert crm.post(path, json={"body": "some poison"}).status_code == 500
    assert [rule["fired"] for rule in box.faults()] == [1]
    box.clear_faults()
    box.fault("status", "voipstudio", status=500)
    assert crm.get(path).status_code == 200


def test_chance_is_seeded(box, crm, notes):
    runs = []
    for _ in range(2):
        box.clear_faults()
        box.fault("status", status=500, probability=0.5, seed=3)
        runs.append([crm.get(notes[0]).status_code for _ in range(12)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


def test_an_unknown_kind_is_named(box):
    with pytest.raises(ValueError, match="unknown fault kind 'explode'"):
        box.fault("explode")


def test_the_source_can_be_spoilt_too(box, voip):
    box.fault("malformed_headers", "voipstudio", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        voip.get("/contacts")
    box.fault("status", "voipstudio", status=503, count=1, retry_after=3)
    assert voip.get("/contacts").status_code == 503
    assert voip.get("/contacts").status_code == 200
