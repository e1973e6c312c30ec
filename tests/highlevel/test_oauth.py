"""OAuth at the destination, against the sandbox's token endpoint, in both spellings."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from sandbox.scenario import Scenario
from sandbox.serve import Sandbox
from tasks.errors import ConfigurationError, ServiceUnavailable, Unauthorized
from tasks.highlevel.access import OAuthAccess
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.oauth import Grant, Issued, TokenService, authorize_url
from tasks.highlevel.requests import CreateContact
from tasks.highlevel.scopes import needed_scopes
from tasks.settings import Account
from tasks.transport import Transport

REDIRECT = "https://sync.example.com/callback"
CONNECT = "run `voipsync auth highlevel connect acme`"


@pytest.fixture(scope="module")
def running():
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        yield box


@pytest.fixture
def box(running):
    running.reset(**asdict(Scenario(contacts=0, burst=5000)))
    running.clear_faults()
    running.reset_counters()
    return running


@pytest.fixture(params=["v3", "2021-07-28"])
def version(request):
    return request.param


def account_of(box, version="v3", *, oauth=None, mapping=None, source=None, **destination):
    app = {"client_id": box.oauth["client_id"], "client_secret": "${UNUSED}", "redirect_uri": REDIRECT}
    base = {"base_url": box.highlevel_url, "api_version": version, "location_id": box.location_id}
    tables = {
        "source": source or {},
        "destination": {**base, **destination, "oauth": {**app, **(oauth or {})}},
        "mapping": mapping or {},
    }
    return Account.model_validate(tables)


class Memory:
    """Keeps a grant as the ledger does, and tells in which order what was done."""

    def __init__(self, grant):
        self.grant, self.steps, self.turn = grant, [], asyncio.Lock()

    @asynccontextmanager
    async def alone(self):
        async with self.turn:
            yield

    async def load(self):
        return self.grant

    async def save(self, grant, *, instead_of):
        if self.grant.refresh_token == instead_of.refresh_token:
            self.grant = grant
            self.steps.append(grant)
        return self.grant


def service_of(box, version="v3", *, secret=None, **more):
    account = account_of(box, version, **more)
    return TokenService("acme", account, secret or box.oauth["client_secret"])


def granted(box, kind="location", **changes):
    given = box.oauth[kind]
    company = {"company_id": box.company_id} if kind == "company" else {"location_id": box.location_id}
    token = given["access_token"] if kind == "location" else None
    return replace(Grant(token=token, refresh_token=given["refresh_token"], **company), **changes)


@asynccontextmanager
async def api_of(box, version, keeper, **more):
    access = OAuthAccess(service_of(box, version, **more), keeper)
    wire = Transport("HighLevel", box.highlevel_url, access)
    try:
        yield ContactsApi(wire, location_id=box.location_id, version=version)
    finally:
        await wire.close()


def rotations(box):
    return box.counters()["highlevel"]["operations"].get("get-token", 0)


CONTACTS = "contacts.readonly contacts.write locations.readonly locations/customFields.readonly "
CONTACTS += "locations/customFields.write"
CALENDAR = "calendars.readonly calendars/events.readonly calendars/events.write"
OFF = {"streams": {"appointments": "off"}}
TO_WORKFLOW = {"routes": [{"tag": "vip", "workflow": "Welcome"}]}
TO_WEBHOOK = {"routes": [{"tag": "vip", "event": "vip.added"}]}


@pytest.mark.parametrize(
    ("tables", "more"),
    [
        ({}, ""),
        ({"calendar_id": "cal1"}, CALENDAR),
        ({"calendar_id": "cal1", "source": OFF}, ""),
        ({"mapping": {"users": {"1": "sam@example.com"}}}, "users.readonly"),
        ({"mapping": {"users_by_email": True}}, "users.readonly"),
        ({"mapping": TO_WORKFLOW}, "workflows.readonly"),
        ({"mapping": TO_WEBHOOK}, ""),
        ({"oauth": {"company_id": "c1"}}, "oauth.write"),
    ],
)
def test_the_address_asks_for_the_least_scopes(box, tables, more):
    account = account_of(box, **tables)
    address = authorize_url("acme", account, "st te/+")
    assert address.startswith("https://marketplace.gohighlevel.com/v2/oauth/chooselocation?")
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert set(query.pop("scope").split(" ")) == {*CONTACTS.split(), *more.split()}
    assert query == {
        "response_type": "code",
        "client_id": box.oauth["client_id"],
        "redirect_uri": REDIRECT,
        "state": "st te/+",
    }
    assert "+" not in address


@pytest.mark.parametrize(
    ("uri", "line"),
    [(None, "redirect_uri: is missing"), ("http://localhost:8", "redirect_uri: must be https")],
)
def test_only_https_may_be_redirected_to(box, uri, line):
    with pytest.raises(ConfigurationError, match=rf"^accounts\.acme\.destination\.oauth\.{line}"):
        authorize_url("acme", account_of(box, oauth={"redirect_uri": uri}), "s")


async def test_the_least_scopes_suffice_for_the_locations_facts(box):
    narrow = box.new_token(scopes=list(needed_scopes(account_of(box, calendar_id="cal1"))))
    keeper = Memory(Grant(token=narrow))
    async with api_of(box, "v3", keeper) as api:
        await api.get_location()
        await api.list_calendars()
        with pytest.raises(Unauthorized, match=r"lacks the scope workflows\.readonly"):
            await api.list_workflows()
    assert rotations(box) == 0


async def test_a_code_is_exchanged_once(box, version):
    service = service_of(box, version)
    grant, issued = await service.exchange(box.oauth["codes"]["location"])
    assert (grant.token, grant.refresh_token) == (issued.access_token, issued.refresh_token)
    assert (grant.location_id, grant.company_id, grant.spent_at) == (box.location_id, None, None)
    assert grant.expires_at - grant.issued_at == 86_399
    assert "contacts.write" in grant.scopes
    async with api_of(box, version, Memory(grant)) as api:
        assert (await api.get_location()).id == box.location_id
    with pytest.raises(Unauthorized, match=f"refuses the code .*used up: {CONNECT} again"):
        await service.exchange(box.oauth["codes"]["location"])


async def test_a_companys_code_gives_a_token_of_the_location(box, version):
    service = service_of(box, version)
    company, issued = await service.exchange(box.oauth["codes"]["company"])
    assert (company.token, company.company_id) == (None, box.company_id)
    grant = await service.locate(company, issued)
    assert grant.token != issued.access_token
    assert (grant.refresh_token, grant.location_id) == (issued.refresh_token, box.location_id)
    async with api_of(box, version, Memory(grant)) as api:
        assert (await api.get_location()).id == box.location_id


async def test_an_app_that_is_not_in_the_location_says_so(box, version):
    service = service_of(box, version, location_id="elsewhere")
    with pytest.raises(
        Unauthorized, match=r"no token for location elsewhere \(HTTP 400\).*not installed there"
    ):
        await service.locate(*await service.exchange(box.oauth["codes"]["company"]))


async def test_a_wrong_client_is_named(box, version):
    with pytest.raises(Unauthorized, match=r"oauth\.client_id and client_secret$"):
        await service_of(box, version, secret="wrong").exchange(box.oauth["codes"]["location"])
    with pytest.raises(Unauthorized, match=r"oauth\.client_id and client_secret$"):
        await service_of(box, version, secret="wrong").refresh(granted(box))


# Renewal


async def test_a_token_is_renewed_before_it_expires_and_its_replacement_kept_before_it_is_used(box, version):
    keeper = Memory(granted(box, issued_at=1.0, expires_at=2.0))
    async with api_of(box, version, keeper) as api:
        await asyncio.gather(*(api.get_location() for _ in range(20)))
    assert rotations(box) == 1
    assert box.counters()["highlevel"]["statuses"].get("401", 0) == 0
    spent, fresh = keeper.steps
    assert spent.spent_at is not None
    assert spent.refresh_token == box.oauth["location"]["refresh_token"]
    assert fresh.spent_at is None
    assert fresh.refresh_token != spent.refresh_token


@pytest.mark.parametrize(
    ("life", "age", "due"),
    [(86_399, 86_330, False), (86_399, 86_340, True), (2, 0.9, False), (2, 1.1, True), (60, 31, True)],
)
def test_a_token_is_due_a_minute_before_its_end_or_after_half_of_a_short_life(life, age, due):
    assert Grant(token="t", issued_at=1000.0, expires_at=1000.0 + life).due(1000.0 + age) is due


@pytest.mark.parametrize("kind", ["location", "company"])
async def test_a_token_that_expires_in_use_is_renewed_once_for_all_requests(box, version, kind):
    keeper = Memory(granted(box, kind))
    async with api_of(box, version, keeper) as api:
        await api.get_location()
        before = rotations(box)
        box.advance(86_400)
        made = await asyncio.gather(
            *(api.create_contact(CreateContact(email=f"a{n}@example.com")) for n in range(20))
        )
    assert rotations(box) - before == 1
    assert len({contact.id for contact in made}) == 20
    assert box.writes() == {"create-contact": 20}


async def test_the_companys_refresh_token_is_kept_and_the_locations_token_obtained_anew(box, version):
    keeper = Memory(granted(box, "company"))
    async with api_of(box, version, keeper, oauth={"company_id": box.company_id}) as api:
        await api.get_location()
    spent, without, whole = keeper.steps
    assert (spent.token, without.token, without.location_id) == (None, None, None)
    assert without.refresh_token == whole.refresh_token != spent.refresh_token
    assert whole.token is not None
    # killed before the location's token was kept: the next process begins with the new refresh token
    keeper = Memory(without)
    async with api_of(box, version, keeper) as api:
        await api.get_location()
    assert keeper.grant.refresh_token != without.refresh_token


async def test_a_revoked_access_token_is_renewed_and_a_revoked_refresh_token_named(box, version):
    keeper = Memory(granted(box))
    async with api_of(box, version, keeper) as api:
        box.revoke(box.oauth["location"]["access_token"])
        await api.get_location()
        box.revoke(keeper.grant.token)
        box.revoke(keeper.grant.refresh_token)
        with pytest.raises(
            Unauthorized, match=rf"refresh token .*revoked, or is over a year old: {CONNECT}$"
        ):
            await api.get_location()


async def test_a_spent_refresh_token_says_when_it_was_spent(box, version):
    old = granted(box, token=None)
    await service_of(box, version).refresh(old)
    box.advance(31)
    for keeper, why in (
        (Memory(old), "used elsewhere, revoked"),
        (
            Memory(replace(old, spent_at=service_of(box).clock() - 40)),
            "was used 40 s ago, and the answer was lost",
        ),
    ):
        async with api_of(box, version, keeper) as api:
            with pytest.raises(Unauthorized, match=rf"{why}.*{CONNECT}$"):
                await api.get_location()


async def test_an_answer_that_was_lost_comes_again_within_the_grace(box, version):
    box.fault("commit_then_drop", path="/oauth/token", count=1)
    keeper = Memory(granted(box, token=None))
    async with api_of(box, version, keeper) as api:
        await api.get_location()
    assert rotations(box) == 2
    assert keeper.grant.refresh_token != box.oauth["location"]["refresh_token"]


async def test_who_is_cancelled_while_renewing_keeps_the_replacement_first(box, version):
    box.fault("latency", path="/oauth/token", seconds=0.3)
    keeper = Memory(granted(box, token=None))
    async with api_of(box, version, keeper) as api:
        asking = asyncio.create_task(api.get_location())
        while not box.faults()[0]["fired"]:
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert keeper.grant.token is not None
        await api.get_location()
    assert rotations(box) == 1


async def test_a_location_that_is_not_active_keeps_its_refresh_token(box, version):
    keeper = Memory(granted(box, token=None))
    box.options(location={"active": False})
    async with api_of(box, version, keeper) as api:
        with pytest.raises(Unauthorized, match=r"\(HTTP 400\): the location is not active"):
            await api.get_location()
        box.options(location={"active": True})
        await api.get_location()


async def test_the_grant_of_another_location_is_refused_and_a_companys_obtained_anew(box, version):
    box.reset(locations=2)
    other = box.locations[1]["location_id"]
    keeper = Memory(granted(box))
    async with api_of(box, version, keeper, location_id=other) as api:
        with pytest.raises(
            Unauthorized, match=f"are for location {box.location_id}, .* is {other}: {CONNECT}"
        ):
            await api.get_location()
    keeper = Memory(granted(box, "company", token="of the first", location_id=box.location_id))
    access = OAuthAccess(service_of(box, version, location_id=other), keeper)
    await access.ready()
    assert keeper.grant.location_id == other


@pytest.mark.parametrize(
    ("token", "remedy"),
    [
        ("narrow", "lacks the scope locations.readonly"),
        ("agency_pit", "an agency's token"),
        ("company", "a company's token"),
        ("elsewhere", "belongs to another location"),
    ],
)
async def test_a_refusal_that_no_renewal_mends_uses_no_refresh_token_up(box, version, token, remedy):
    box.reset(locations=2)
    tokens = {
        "narrow": box.new_token(scopes=["contacts.readonly"]),
        "agency_pit": box.oauth["agency_pit"],
        "company": box.oauth["company"]["access_token"],
        "elsewhere": box.locations[1]["token"],
    }
    keeper = Memory(granted(box, token=tokens[token]))
    async with api_of(box, version, keeper) as api:
        with pytest.raises(Unauthorized, match=remedy):
            await api.get_location()
    assert (rotations(box), keeper.steps) == (0, [])


async def test_without_a_refresh_token_there_is_nothing_to_renew_with(box):
    async with api_of(box, "v3", Memory(Grant(token="gone"))) as api:
        with pytest.raises(Unauthorized, match=f"no refresh token came with it: {CONNECT}"):
            await api.get_location()


async def test_a_service_that_refuses_the_new_token_as_well_is_asked_once(box):
    answers = []

    def refuse(request):
        answers.append(request.headers["Authorization"])
        return httpx.Response(401, json={"statusCode": 401, "message": "Invalid JWT"})

    keeper = Memory(granted(box))
    access = OAuthAccess(service_of(box), keeper)
    wire = Transport("HighLevel", "https://api.test", access, wire=httpx.MockTransport(refuse))
    answer = await wire.request("GET", "/contacts/c1")
    await wire.close()
    assert (answer.status, len(answers), rotations(box)) == (401, 2, 1)
    assert answers[0] != answers[1]
    assert wire.tally.reads == 2


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (200, {"token_type": "Bearer"}, "without a usable access_token"),
        (200, {"access_token": "a\nb"}, "without a usable access_token"),
        (200, [], "without a usable token"),
        (400, {"statusCode": 400, "message": "Invalid grant: refresh token is invalid"}, CONNECT),
        (
            422,
            {"statusCode": 422, "message": ["clientId should not be empty"]},
            "check accounts.acme.destination",
        ),
        (403, b"<h1>Error 1010</h1>", "Error 1010"),
    ],
)
async def test_other_answers_are_one_clear_line(box, status, body, line):
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    wire = httpx.MockTransport(lambda _: httpx.Response(status, **content))
    service = TokenService("acme", account_of(box), "secret", wire=wire)
    with pytest.raises((Unauthorized, ServiceUnavailable)) as raised:
        await service.refresh(granted(box))
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_secrets_are_neither_logged_nor_shown(box, version, caplog):
    caplog.set_level(logging.DEBUG)
    service = service_of(box, version)
    grant, issued = await service.exchange(box.oauth["codes"]["company"])
    whole = await service.locate(grant, issued)
    shown = caplog.text + repr(grant) + repr(issued) + repr(whole) + repr(service)
    for secret in (issued.access_token, issued.refresh_token, whole.token, box.oauth["client_secret"]):
        assert secret not in shown
    assert Issued.model_validate({"accessToken": "a", "expiresIn": 5}).expires_in == 5
