"""Versions, tokens, scopes, OAuth and rate limits at the modelled destination."""

import httpx
import pytest

LIMIT_HEADERS = {
    "x-ratelimit-max",
    "x-ratelimit-remaining",
    "x-ratelimit-interval-milliseconds",
    "x-ratelimit-limit-daily",
    "x-ratelimit-daily-remaining",
    "x-ratelimit-daily-reset",
}


@pytest.mark.parametrize(
    ("version", "status", "message"),
    [
        (None, 401, "version header was not found."),
        ("2020-01-01", 401, "version header is invalid"),
        ("bogus-version", 400, "Invalid API version segment 'bogus-version' at position 0"),
    ],
)
def test_the_version_header_is_needed(box, crm, version, status, message):
    del crm.headers["Version"]
    headers = {} if version is None else {"Version": version}
    answer = crm.get(f"/locations/{box.location_id}", headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (status, message)


@pytest.mark.parametrize("agent", ["", "Python-urllib/3.11"])
def test_the_edge_refuses_odd_clients_before_anything_else(box, crm, agent):
    answer = crm.get(f"/locations/{box.location_id}", headers={"User-Agent": agent})
    assert (answer.status_code, answer.text) == (403, "error code: 1010")


@pytest.mark.parametrize("version", ["v3", "2021-07-28", "2021-04-15", "2023-02-21"])
def test_every_known_version_is_answered_everywhere(box, crm, version):
    for path in (f"/locations/{box.location_id}", f"/calendars/{box.calendar_id}"):
        assert crm.get(path, headers={"Version": version}).status_code == 200


def test_an_unknown_path_is_a_404(crm):
    answer = crm.get("/nothing/here")
    assert (answer.status_code, answer.json()["message"]) == (404, "Cannot GET /nothing/here")


def ask(box, token, path=None):
    headers = {"Authorization": f"Bearer {token}", "Version": "v3"}
    answer = httpx.get(box.highlevel_url + (path or f"/locations/{box.location_id}"), headers=headers)
    return answer.status_code, answer.json().get("message")


def test_refusals_of_tokens_have_the_texts_seen_live(box):
    assert ask(box, "nonsense") == (401, "Invalid JWT")
    narrow = box.new_token(scopes=["contacts.readonly"])
    assert ask(box, narrow) == (401, "The token is not authorized for this scope.")
    assert ask(box, narrow, "/contacts/x")[0] == 400
    assert ask(box, box.oauth["agency_pit"]) == (401, "Token's user type mismatch!")
    agency = box.oauth["company"]["access_token"]
    status, message = ask(box, agency)
    assert status == 401
    assert message.startswith("This authClass type is not allowed to access this scope.")
    brief = box.new_token(expires_in=60)
    assert ask(box, brief)[0] == 200
    box.advance(61)
    assert ask(box, brief) == (401, "Invalid token: access token is invalid")
    box.revoke(box.token)
    assert ask(box, box.token) == (401, "Invalid token: access token is invalid")


def test_a_foreign_location_is_a_403(box):
    box.reset(locations=2)
    first, second = box.locations
    assert ask(box, first["token"], f"/locations/{second['location_id']}") == (
        403,
        "The token does not have access to this location.",
    )
    contact = box.insert("contacts", location=second["location_id"], email="a@x.org")
    assert ask(box, first["token"], f"/contacts/{contact['id']}")[0] == 403
    assert ask(box, second["token"], f"/contacts/{contact['id']}")[0] == 200


def token_call(box, grant, version="2021-07-28", **values):
    oauth = box.oauth
    form = {
        "client_id": oauth["client_id"],
        "client_secret": oauth["client_secret"],
        "grant_type": grant,
        **values,
    }
    if version == "v3":
        form = {
            name.split("_")[0] + "".join(p.title() for p in name.split("_")[1:]): v
            for name, v in form.items()
        }
    return httpx.post(f"{box.highlevel_url}/oauth/token", data=form, headers={"Version": version})


@pytest.mark.parametrize(
    ("version", "access", "refresh"),
    [("2021-07-28", "access_token", "refresh_token"), ("v3", "accessToken", "refreshToken")],
)
def test_refresh_tokens_rotate_and_have_a_grace_of_30_seconds(box, version, access, refresh):
    old = box.oauth["location"]["refresh_token"]
    first = token_call(box, "refresh_token", version, refresh_token=old)
    assert first.status_code == 200, first.text
    box.advance(29)
    again = token_call(box, "refresh_token", version, refresh_token=old)
    assert again.json() == first.json()
    box.advance(2)
    late = token_call(box, "refresh_token", version, refresh_token=old)
    assert (late.status_code, late.json()["error"]) == (401, "invalid_grant")
    assert ask(box, first.json()[access])[0] == 200
    after = token_call(box, "refresh_token", version, refresh_token=first.json()[refresh])
    assert after.status_code == 200
    assert after.json()[access] != first.json()[access]


def test_access_tokens_last_a_day(box):
    answer = token_call(box, "authorization_code", code=box.oauth["codes"]["location"]).json()
    assert answer["expires_in"] == 86399
    assert answer["locationId"] == box.location_id
    assert ask(box, answer["access_token"])[0] == 200
    box.advance(86_400)
    assert ask(box, answer["access_token"]) == (401, "Invalid token: access token is invalid")
    assert token_call(box, "authorization_code", code=box.oauth["codes"]["location"]).status_code == 401


def test_the_code_is_checked_before_the_client(box):
    wrong = token_call(box, "authorization_code", code="nonsense", client_secret="wrong")
    assert wrong.json() == {
        "error": "invalid_grant",
        "error_description": "Invalid grant: authorization code is invalid",
    }
    refresh = box.oauth["location"]["refresh_token"]
    client = token_call(box, "refresh_token", refresh_token=refresh, client_secret="wrong")
    assert (client.status_code, client.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("path", "version", "key"),
    [
        ("/oauth/locationToken", "2021-07-28", "access_token"),
        ("/oauth/locationToken", "v3", "accessToken"),
        ("/oauth/location-token", "v3", "accessToken"),
    ],
)
def test_an_agency_token_is_exchanged_for_a_location_token(box, path, version, key):
    headers = {"Authorization": f"Bearer {box.oauth['company']['access_token']}", "Version": version}
    form = {"companyId": box.company_id, "locationId": box.location_id}
    answer = httpx.post(box.highlevel_url + path, data=form, headers=headers)
    assert answer.status_code == 201
    assert not {"refresh_token", "refreshToken"} & set(answer.json())
    assert ask(box, answer.json()[key])[0] == 200


def test_the_hyphenated_path_is_a_404_in_the_older_version(box):
    headers = {"Authorization": f"Bearer {box.oauth['company']['access_token']}", "Version": "2021-07-28"}
    assert httpx.post(f"{box.highlevel_url}/oauth/location-token", headers=headers).status_code == 404


def test_every_answer_carries_the_limits(box, crm):
    for path in (f"/locations/{box.location_id}", "/contacts/nobody", "/nothing"):
        assert set(crm.get(path).headers) >= LIMIT_HEADERS
    remaining = int(crm.get("/nothing").headers["x-ratelimit-remaining"])
    assert remaining == 96
    assert set(httpx.get(f"{box.highlevel_url}/contacts/x").headers) >= LIMIT_HEADERS


def test_the_window_slides_and_locations_have_their_own(box):
    box.reset(locations=2, burst=3)
    first, second = (place["token"] for place in box.locations)
    assert [ask(box, first, "/contacts/x")[0] for _ in range(4)] == [400, 400, 400, 429]
    assert ask(box, second, "/contacts/x")[0] == 400
    counters = box.counters()["highlevel"]
    assert counters["throttled"] == 1
    assert counters["statuses"] == {"400": 4, "429": 1}
    assert [counters["peaks"][place["location_id"]] for place in box.locations] == [4, 1]
    box.advance(9)
    assert ask(box, first, "/contacts/x")[0] == 429
    box.advance(1.5)
    assert ask(box, first, "/contacts/x")[0] == 400


def test_a_429_carries_retry_after_only_where_asked(box, crm):
    box.options(location={"burst": 1})
    crm.get("/contacts/x")
    assert "retry-after" not in crm.get("/contacts/x").headers
    box.options(highlevel={"retry_after": True})
    refused = crm.get("/contacts/x")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 11
    assert refused.headers["x-ratelimit-remaining"] == "0"


def test_the_day_is_counted_and_others_may_spend_it(box, crm):
    box.options(location={"daily": 10})
    box.spend(8, today_only=True)
    assert [crm.get("/contacts/x").status_code for _ in range(3)] == [400, 400, 429]
    assert crm.get("/contacts/x").headers["x-ratelimit-daily-remaining"] == "0"
    box.advance(86_400)
    assert crm.get("/contacts/x").status_code == 400
    box.options(location={"burst": 10, "daily": 1000})
    box.advance(20)
    box.spend(9)
    assert [crm.get("/contacts/x").status_code for _ in range(2)] == [400, 429]


def test_users_are_searched_by_company(box, crm):
    assert crm.get("/users/search").status_code == 422
    answer = crm.get("/users/search", params={"companyId": box.company_id, "query": "sam@"}).json()
    assert [user["email"] for user in answer["users"]] == ["sam@voipsync.example.com"]


def test_custom_fields_get_keys_that_stay(box, crm):
    path = f"/locations/{box.location_id}/customFields"
    body = {"name": "VoIP Id!", "dataType": "TEXT", "model": "contact"}
    keys = [crm.post(path, json=body).json()["customField"]["fieldKey"] for _ in range(2)]
    assert keys == ["contact.voip_id", "contact.voip_id_1"]
    assert crm.get(f"{path}/contact.voip_id").json()["customField"]["name"] == "VoIP Id!"
    assert len(crm.get(path, params={"model": "contact"}).json()["customFields"]) == 2
    assert crm.get(path, params={"model": "opportunity"}).json()["customFields"] == []
    assert crm.post(path, json={"name": "X", "dataType": "NOVEL"}).status_code == 422
    assert crm.post(path, json={**body, "locationId": box.location_id}).status_code == 422
    assert crm.put(f"{path}/contact.voip_id", json={"name": "N", "fieldKey": "contact.n"}).status_code == 422
