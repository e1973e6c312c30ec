"""The error table, at the network's edge: what the service says, and what we then raise."""

import json

import httpx
import pytest

from tasks.errors import (
    ApiError,
    ConfigurationError,
    DuplicateContact,
    Effect,
    Fatal,
    NotFound,
    OutcomeUnknown,
    RejectedRecord,
    Unauthorized,
)
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import CreateContact, CreateNote, UpdateContact
from tasks.transport import Transport

TOKEN = "pit-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


class Bearer(httpx.Auth):
    def auth_flow(self, request):
        request.headers["Authorization"] = f"Bearer {TOKEN}"
        yield request


async def asked(ask, status, body):
    """Ask a service that gives this one answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    wire = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    transport = Transport(service="HighLevel", base_url="https://api.test", auth=Bearer(), wire=wire)
    try:
        return await ask(ContactsApi(transport, location_id="loc1", version="v3"))
    finally:
        await transport.close()


def get(api):
    return api.get_contact("c1")


def create(api):
    return api.create_contact(CreateContact(email="a@b.io"))


def update(api):
    return api.update_contact("c1", UpdateContact(email="a@b.io"))


def note(api):
    return api.create_note("c1", CreateNote(body="x"))


def error(status, message, **more):
    return {"statusCode": status, "message": message, "traceId": "t", **more}


BLOCKED = b"<html><head><style>p{}</style></head><h1>Access denied</h1><p>Error 1010</p></html>"


@pytest.mark.parametrize(
    ("status", "body", "remedy"),
    [
        (401, error(401, "Invalid JWT"), "expired or was rotated"),
        (401, error(401, "Invalid token: access token is invalid"), "expired or was rotated"),
        (401, error(401, "The token is not authorized for this scope."), "lacks the scope contacts.write"),
        (401, error(401, "Token's user type mismatch!"), "an agency's token"),
        (401, error(401, "This authClass type is not allowed to access this scope"), "a company's token"),
        (401, error(401, "version header was not found."), "check destination.api_version"),
        (401, error(401, "version header is invalid"), "check destination.api_version"),
        (401, error(401, f"odd: {TOKEN}"), "odd: [secret]"),
        (401, b"", "check the token and its scopes"),
        (
            403,
            error(403, "The token does not have access to this location."),
            "check destination.location_id",
        ),
        (403, error(403, "Forbidden resource"), "Forbidden resource"),
        (403, error(403, "You must have the scope of a user"), "must have the scope"),
    ],
)
async def test_a_refused_credential_ends_the_run_with_a_remedy(status, body, remedy):
    with pytest.raises(Unauthorized) as raised:
        await asked(create, status, body)
    text = str(raised.value)
    assert remedy in text
    assert f"create-contact (HTTP {status})" in text
    assert TOKEN not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("body", "remedy"),
    [
        (BLOCKED, "blocked at the edge: Cloudflare error 1010"),
        (b"error code: 1010", "blocked at the edge: Cloudflare error 1010"),
        (b"<p>Sorry, you have been blocked</p>", "blocked at the edge: a page"),
    ],
)
async def test_the_edge_that_refuses_the_client_ends_the_run_and_one_that_refuses_a_text_does_not(
    body, remedy
):
    with pytest.raises(Unauthorized, match=remedy):
        await asked(get, 403, body)
    with pytest.raises(RejectedRecord) as raised:
        await asked(note, 403, body)
    assert (raised.value.reason, raised.value.effect) == ("blocked_at_edge", Effect.NONE)


@pytest.mark.parametrize(
    "message",
    ["country must be a valid enum value", ["phone must be a string", "email must be an email"],
     "property colour should not exist"],
)  # fmt: skip
async def test_a_validation_that_comes_as_403_is_of_the_record_alone(message):
    body = {"statusCode": 403, "message": message, "error": "Forbidden"}
    with pytest.raises(RejectedRecord) as raised:
        await asked(create, 403, body)
    assert raised.value.effect is Effect.NONE
    with pytest.raises(Unauthorized):
        await asked(get, 403, body)


async def test_an_api_version_that_does_not_exist_ends_the_run():
    with pytest.raises(Fatal, match=r"'v9' at position 0: check destination\.api_version"):
        await asked(get, 400, error(400, "Invalid API version segment 'v9' at position 0"))


@pytest.mark.parametrize("ask", [create, update])
@pytest.mark.parametrize(
    ("matching", "reason"),
    [
        ("email", "duplicate_email"),
        ("phone", "duplicate_phone"),
        (None, "duplicate_contact"),
        ("a b", "duplicate_contact"),
    ],
)
async def test_a_duplicate_names_who_holds_the_key(ask, matching, reason):
    body = error(400, "This location does not allow duplicated contacts.")
    body["meta"] = {"contactId": "c9", "matchingField": matching}
    with pytest.raises(DuplicateContact) as raised:
        await asked(ask, 400, body)
    assert (raised.value.contact_id, raised.value.reason, raised.value.status) == ("c9", reason, 400)
    assert raised.value.effect is Effect.NONE


@pytest.mark.parametrize(
    ("ask", "status", "body"),
    [
        (get, 400, error(400, "Contact not found for id:c1")),
        (note, 400, error(400, "Contact with id c1 is deleted")),
        (note, 400, error(400, "The contact was deleted")),
        (get, 404, error(404, "Contact not found")),
        (get, 404, {"statusCode": 404}),
    ],
)
async def test_what_is_gone_is_not_found(ask, status, body):
    with pytest.raises(NotFound) as raised:
        await asked(ask, status, body)
    assert (raised.value.reason, raised.value.status) == ("not_found", status)


@pytest.mark.parametrize(
    ("ask", "status", "body", "reason", "message"),
    [
        (get, 404, error(404, "Cannot GET /contacts/c1"), "no_route", "Cannot GET /contacts/c1"),
        (get, 404, {"detail": "Not Found"}, "http_404", "Not Found"),
        (get, 404, b"<h1>nginx</h1>", "http_404", "nginx"),
        (get, 404, b"", "http_404", "no reason given"),
        (create, 422, error(422, ["property x should not exist", "phone is bad"]), "http_422",
         "property x should not exist; phone is bad"),
        (create, 422, error(422, "email jo@x.io is no e-mail"), "http_422", "email [e-mail] is no"),
        (create, 400, error(400, "phone +447700900123 is bad"), "http_400", "phone [number] is bad"),
        (create, 400, error(400, "Calendar not found"), "http_400", "Calendar not found"),
        (create, 400, error(400, "Workflow not found for id:w1"), "http_400", "Workflow not found"),
        (create, 400, error(400, "The slot you have selected is no longer available."), "slot_taken", "slot"),
        (create, 422, error(422, "The user id not part of calendar team"), "not_in_team", "calendar team"),
        (create, 400, error(400, "The user id not part of calendar team"), "not_in_team", "calendar team"),
        (create, 422, error(422, ["assignedTo must be a valid user id"]), "unknown_user", "assignedTo"),
        (create, 400, error(400, "User not found"), "unknown_user", "User not found"),
        (create, 409, error(409, "Conflict"), "http_409", "Conflict"),
        (create, 400, {"error": {"code": 1, "message": "nested"}}, "http_400", "nested"),
        (create, 400, {"error": "invalid_grant", "error_description": "described"}, "http_400", "described"),
        (create, 422, error(422, [{"constraints": ["a", None]}, 5]), "http_422", "a"),
        (create, 400, {"message": "meta is odd", "meta": "odd"}, "http_400", "meta is odd"),
        (create, 400, {"message": "no id", "meta": {"contactId": None}}, "http_400", "no id"),
        (create, 413, b"too large", "http_413", "too large"),
        (create, 418, [1, 2], "http_418", "no reason given"),
    ],
)  # fmt: skip
async def test_other_refusals_reject_the_one_record(ask, status, body, reason, message):
    with pytest.raises(RejectedRecord) as raised:
        await asked(ask, status, body)
    assert type(raised.value) is RejectedRecord
    assert (raised.value.reason, raised.value.status, raised.value.effect) == (reason, status, Effect.NONE)
    assert message in str(raised.value)


async def test_a_long_message_is_cut_after_it_is_redacted():
    with pytest.raises(RejectedRecord) as raised:
        await asked(create, 422, error(422, "x" * 290 + " jane.doe@example.com " + "y" * 9000))
    text = str(raised.value).removeprefix("create-contact: ").removesuffix(" (HTTP 422)")
    assert len(text) == 300
    assert text.startswith("x" * 290 + " [e-mail")
    assert "jane" not in text


@pytest.mark.parametrize("ask", [create, note])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"ok"',
        b"[]",
        {},
        {"contact": None, "note": None},
        {"contact": {"id": ""}, "note": {"id": None}},
        {"contact": {"id": {}}, "note": {"id": []}},
    ],
)
async def test_a_creation_without_an_id_is_of_unknown_outcome(ask, body):
    with pytest.raises(OutcomeUnknown) as raised:
        await asked(ask, 201, body)
    assert (raised.value.effect, raised.value.status) == (Effect.DONE, 201)


async def test_an_update_needs_no_record_in_its_answer():
    assert (await asked(update, 200, {"succeeded": True})).id == "c1"
    assert (await asked(update, 200, {"contact": {"email": "a@b.io"}})).email == "a@b.io"


@pytest.mark.parametrize("body", [b"", b'"ok"', b"[]"])
async def test_an_update_that_answers_no_object_is_of_unknown_outcome(body):
    with pytest.raises(OutcomeUnknown):
        await asked(update, 200, body)


@pytest.mark.parametrize("flag", ["succeeded", "succeded"])
async def test_an_answer_that_denies_success_is_a_refusal(flag):
    with pytest.raises(RejectedRecord) as raised:
        await asked(lambda api: api.delete_contact("c1"), 200, {flag: False})
    assert raised.value.reason == "not_succeeded"


@pytest.mark.parametrize("body", [b"", {"succeeded": True}, {"succeded": True, "traceId": "t"}])
async def test_a_deletion_says_nothing_more(body):
    assert await asked(lambda api: api.delete_contact("c1"), 200, body) is None


@pytest.mark.parametrize("body", [b"", b"[]", {}, {"contact": None}])
async def test_a_read_without_its_record_took_no_effect(body):
    with pytest.raises(ApiError) as raised:
        await asked(get, 200, body)
    assert (type(raised.value), raised.value.reason) == (ApiError, "bad_answer")


async def test_a_list_that_is_absent_is_not_an_empty_list():
    assert await asked(lambda api: api.list_notes("c1"), 200, {"notes": None}) == []
    with pytest.raises(ApiError):
        await asked(lambda api: api.list_notes("c1"), 200, {"traceId": "t"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda api: api.call("no-such"), "unknown operation 'no-such'"),
        (lambda api: api.call("get-note", path={"contactId": "c1"}), "get-note needs id"),
        (lambda api: api.get_contact(""), "get-contact needs contactId"),
        (lambda api: api.get_contact(".."), "get-contact needs contactId"),
        (
            lambda api: api.call("create-note", path={"contactId": "c1"}, body={"title": "t"}),
            "create-note: body",
        ),
        (lambda api: api.call("create-contact", body={"locationId": "other"}), "create-contact: locationId"),
        (lambda api: api.call("update-contact", path={"contactId": "c1"}, body={"gender": "x"}), "gender"),
    ],
)
async def test_a_call_that_cannot_be_made_is_not_sent(call, message):
    with pytest.raises(ConfigurationError, match=message):
        await asked(call, 500, b"never asked")
