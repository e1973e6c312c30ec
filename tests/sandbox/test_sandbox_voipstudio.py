"""The modelled VoIPstudio: access, lists, shapes of rows, disturbed walks, the extension."""

import base64
import json

import httpx
import pytest


def call(box, method="GET", path="/ping", **more):
    return httpx.request(method, box.voipstudio_url + path, **more)


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_tokens_and_basic_credentials(box):
    assert call(box, headers={"X-Auth-Token": box.api_key}).json()["data"]["response"] == "Pong"
    assert call(box, headers={"x-auth-token": "wrong"}).status_code == 401
    assert call(box).status_code == 401
    for user in ("10002", "someone@example.com", ""):
        assert call(box, headers=basic(f"{user}:{box.api_key}")).status_code == 200
    assert call(box, headers=basic("10002:wrong")).status_code == 401
    for credentials in ("Basic !!!", "Basic " + base64.b64encode(b"no colon").decode()):
        answer = call(box, headers={"Authorization": credentials})
        assert (answer.status_code, answer.json()["message"]) == (
            400,
            "Failed to parse Authorization header credentials",
        )
    assert call(box, headers={"Authorization": f"Bearer {box.api_key}"}).status_code == 401


def test_me_holds_the_sip_password(voip):
    data = voip.get("/me").json()["data"]
    assert data["id"] == 10002
    assert data["sip_password"] == "sip-SECRET-password"


def test_login_is_flat_and_expires_when_idle(box):
    answer = call(box, "POST", "/login", json=box.info["login"])
    assert answer.status_code == 200
    assert answer.json()["message"] == "Login success"
    token = {"X-Auth-Token": answer.json()["user_token"]}
    for _ in range(3):
        box.advance(1700)
        assert call(box, headers=token).status_code == 200
    box.advance(1801)
    assert call(box, headers=token).status_code == 401
    wrong = call(box, "POST", "/login", json={**box.info["login"], "password": "no"})
    assert (wrong.status_code, wrong.json()) == (401, {"errors": [{"message": "Invalid email or password"}]})


def test_a_second_factor(box):
    box.options(voipstudio={"two_factor": True})
    answer = call(box, "POST", "/login", json=box.info["login"])
    assert answer.status_code == 202
    nonce = answer.json()["nonce"]
    assert call(box, "POST", "/login2fa", json={"nonce": nonce, "code": "000000"}).status_code == 401
    done = call(box, "POST", "/login2fa", json={"nonce": nonce, "code": "123456"})
    token = {"X-Auth-Token": done.json()["user_token"]}
    assert call(box, headers=token).status_code == 200
    assert call(box, "POST", "/logout", headers=token).status_code == 200
    assert call(box, headers=token).status_code == 401


def test_api_tokens(box, voip):
    made = voip.post("/apitokens", json={"name": "sync", "expiry": 100})
    assert made.status_code == 201
    token = made.json()["data"]["token"]
    assert len(token) == 40
    clash = voip.post("/apitokens", json={"name": "sync", "expiry": 100})
    assert (clash.status_code, clash.json()["errors"][0]["field"]) == (400, "name")
    query = {"filter": json.dumps([{"property": "name", "operator": "eq", "value": "sync"}])}
    rows = voip.get("/apitokens", params=query).json()
    assert [row["token"] for row in rows["data"]] == [token]
    assert call(box, headers={"X-Auth-Token": token}).status_code == 200
    box.advance(101)
    assert call(box, headers={"X-Auth-Token": token}).status_code == 401
    assert voip.delete(f"/apitokens/{token}").status_code == 204
    assert voip.get("/apitokens", params=query).json() == {"data": [], "total": 0}


@pytest.fixture
def ten(box):
    for number in range(1, 11):
        box.insert_source(
            "contacts", first_name=f"N{number:02d}", email=f"n{number}@x.org", created_at=number * 86_400
        )


def ids(answer):
    return [row["id"] for row in answer.json()["data"]]


@pytest.mark.usefixtures("ten")
def test_pages_are_clamped_and_end_with_an_empty_one(box, voip):
    box.options(voipstudio={"max_limit": 4})
    pages = [voip.get("/contacts", params={"page": page, "limit": 100}) for page in (1, 2, 3, 4)]
    assert [ids(page) for page in pages] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], []]
    assert {page.json()["total"] for page in pages} == {10}
    assert set(pages[0].json()) == {"data", "total"}
    for bad in ({"page": 0}, {"limit": -1}, {"page": "x"}):
        assert voip.get("/contacts", params=bad).status_code == 400


@pytest.mark.usefixtures("ten")
def test_sort_and_direction(box, voip):
    assert ids(voip.get("/contacts", params={"sort": "id", "dir": "DESC", "limit": 2})) == [10, 9]
    assert ids(voip.get("/contacts", params={"sort": "first_name", "dir": "desc", "limit": 1})) == [10]
    assert voip.get("/contacts", params={"sort": "updated_at"}).status_code == 400
    box.options(voipstudio={"ignore_sort": True})
    assert ids(voip.get("/contacts", params={"sort": "id", "dir": "DESC", "limit": 2})) == [1, 2]


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize(
    ("tests", "found"),
    [
        ([("id", "eq", 3)], [3]),
        ([("id", "eq", "3")], [3]),
        ([("first_name", "like", "n1")], [10]),
        ([("id", "gt", 8)], [9, 10]),
        ([("id", "gte", 8), ("id", "lt", 10)], [8, 9]),
        ([("id", "lte", 1)], [1]),
        ([("created_at", "gte", "1970-01-10")], [9, 10]),
        ([("created_at", "lt", "1970-01-02 00:00:01")], [1]),
        ([("email", "eq", "nobody")], []),
    ],
)
def test_filters_are_anded(voip, tests, found):
    text = json.dumps([{"property": p, "operator": o, "value": v} for p, o, v in tests])
    answer = voip.get("/contacts", params={"filter": text})
    assert ids(answer) == found
    assert answer.json()["total"] == len(found)


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        '{"a": 1}',
        '[{"property": "id"}]',
        '[{"property": "id", "operator": "between", "value": 1}]',
        '[{"property": "updated_at", "operator": "eq", "value": 1}]',
    ],
)
def test_bad_filters_are_a_400(voip, text):
    answer = voip.get("/contacts", params={"filter": text})
    assert (answer.status_code, answer.json()["message"]) == (400, "Filtration error")


def test_contacts_are_created_changed_and_deleted(voip):
    made = voip.post("/contacts", json={"first_name": "Ann", "labels": "a, b"})
    assert made.status_code == 201
    assert made.json()["links"] == {}
    number = made.json()["data"]["id"]
    assert "updated_at" not in made.json()["data"]
    changed = voip.patch(f"/contacts/{number}", json={"tel": "441224622312"}).json()["data"]
    assert (changed["first_name"], changed["tel"]) == ("Ann", "441224622312")
    assert voip.patch(f"/contacts/{number}", json={"internal": True}).status_code == 400
    assert voip.patch("/contacts", json=[{"id": number, "group_name": "VIP"}]).status_code == 200
    assert voip.patch("/contacts", json=[{"id": number, "tel": "1"}]).status_code == 400
    assert voip.get(f"/contacts/{number}").json()["data"]["group_name"] == "VIP"
    gone = voip.delete(f"/contacts/{number}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert voip.get(f"/contacts/{number}").status_code == 404


@pytest.mark.parametrize(
    ("shape", "labels"),
    [
        ("null", None),
        ("string", "VIP, New"),
        ("array", ["VIP", "New"]),
        ("objects", [{"id": 1, "name": "VIP"}, {"id": 2, "name": "New"}]),
    ],
)
def test_labels_in_every_shape(box, voip, shape, labels):
    box.insert_source("contacts", labels=["VIP", "New"])
    box.options(voipstudio={"labels": shape})
    assert voip.get("/contacts/1").json()["data"]["labels"] == labels
    box.options(voipstudio={"labels": "absent"})
    assert "labels" not in voip.get("/contacts/1").json()["data"]


def test_times_follow_the_accounts_zone_and_names_may_be_camel_case(box, voip):
    box.insert_source("contacts", created_at=1_790_000_000, tel_1="1")
    box.insert_source("tasks", 1, title="T", due_at=1_790_000_000)
    assert voip.get("/contacts/1").json()["data"]["created_at"] == "2026-09-21 14:13:20"
    box.options(voipstudio={"zone": "Europe/Madrid", "camel": True})
    contact = voip.get("/contacts/1").json()["data"]
    assert (contact["createdAt"], contact["tel1"]) == ("2026-09-21 16:13:20", "1")
    (task,) = voip.get("/contacts/1/tasks").json()["data"]
    assert (task["taskId"], task["contactId"], task["dueDate"]) == (1, 1, "2026-09-21 16:13:20")
    box.options(voipstudio={"style": "iso"})
    assert voip.get("/contacts/1").json()["data"]["createdAt"] == "2026-09-21T16:13:20+02:00"
    box.options(voipstudio={"style": "epoch"})
    assert voip.get("/contacts/1").json()["data"]["createdAt"] == 1_790_000_000


def test_the_extension_and_switching_it_off(box, voip):
    box.insert_source("contacts", first_name="Ann")
    for number in range(3):
        box.insert_source("notes", 1, body=f"n{number}")
    page = voip.get("/contacts/1/notes", params={"page": 2, "limit": 2})
    assert ([row["body"] for row in page.json()["data"]], page.json()["total"]) == (["n2"], 3)
    assert voip.get("/contacts/1/tasks").json() == {"data": [], "total": 0}
    assert voip.get("/contacts/9/notes").status_code == 404
    box.options(voipstudio={"streams": {"notes": False}})
    assert voip.get("/contacts/1/notes").status_code == 404
    assert voip.get("/contacts/1").status_code == 200
    assert voip.get("/contacts/1/tasks").status_code == 200


@pytest.mark.usefixtures("ten")
def test_walks_are_disturbed(box, voip):
    box.options(voipstudio={"disturbances": [{"page": 2, "do": "delete"}, {"page": 3, "do": "insert"}]})
    walk = [ids(voip.get("/contacts", params={"page": page, "limit": 4})) for page in (1, 2, 3)]
    assert walk == [[1, 2, 3, 4], [6, 7, 8, 9], [9, 10]]
    box.options(voipstudio={"total_drift": 3})
    totals = {voip.get("/contacts").json()["total"] for _ in range(20)}
    assert len(totals) > 1
    assert totals <= set(range(7, 14))


def test_private_contacts_are_hidden_from_others(box, voip):
    box.insert_source("contacts", user_id=10003, **{"global": False})
    box.insert_source("contacts", user_id=10003, **{"global": True})
    assert ids(voip.get("/contacts")) == [1, 2]
    box.options(voipstudio={"private": True})
    assert ids(voip.get("/contacts")) == [2]
    assert voip.get("/contacts/1").status_code == 404


def test_users(voip):
    rows = voip.get("/users").json()["data"]
    assert [row["email"] for row in rows][:2] == ["olivia@voipsync.example.com", "sam@voipsync.example.com"]
