"""``voipsync doctor`` as a user meets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.command import KEY, TOKEN, Command, Ran
from tests.support.prefect_http import prefect_client

Make = Callable[..., Command]
NOWHERE = "http://127.0.0.1:9/api"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Sandbox.threaded(contacts=3, burst=5000) as running:
        yield running


@pytest.fixture(scope="module")
def acme(command: Make, box: Box) -> Command:
    made = command().configure(box)
    assert made.run("db", "upgrade").code == 0
    return made


def checks(ran: Ran) -> dict[str, dict[str, Any]]:
    found = ran.json
    assert set(found) == {"checks"}
    for one in found["checks"]:
        assert set(one) == {"account", "check", "result", "says", "remedy"}
    return {one["check"]: one for one in found["checks"]}


def test_all_is_well_in_lines_for_people(acme: Command) -> None:
    ran = acme.run("doctor")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "ok      configuration: it can be read; accounts: acme"
    assert {line.split()[0] for line in lines} == {"ok"}
    assert "ok      acme: highlevel location: the credential is for location" in ran.out
    assert lines[-1].startswith("ok      prefect: PREFECT_API_URL is not set")


def test_what_is_wrong_comes_with_its_remedy_and_exit_code_1(acme: Command, box: Box) -> None:
    wrong = "0123456789abcdef0123456789abcdef01234567"
    ran = acme.run("doctor", "acme", **{KEY: wrong})
    assert (ran.code, ran.err) == (1, "")
    assert "wrong   acme: voipstudio credential: VoIPstudio refuses the key" in ran.out
    assert "        → check accounts.acme.source, or run `voipsync auth voipstudio login acme`" in ran.out
    assert wrong not in ran.out
    assert box.token not in ran.out


def test_json_is_one_document(acme: Command) -> None:
    ran = acme.run("doctor", "--json", **{TOKEN: "pit-0000"})
    found = checks(ran)
    assert ran.code == 1
    assert found["highlevel credential"]["result"] == "wrong"
    assert (found["prefect"]["account"], found["calendar"]["account"]) == (None, "acme")
    assert list(found)[:2] == ["configuration", "database"]


@pytest.mark.parametrize("arguments", [("--json",), ()])
def test_a_configuration_that_cannot_be_read(command: Make, box: Box, arguments: tuple[str, ...]) -> None:
    made = command().configure(box)
    made.path.write_text("[state\n", encoding="utf-8")
    ran = made.run("doctor", *arguments)
    assert ran.code == 2
    assert "is not valid TOML" in ran.line
    if arguments:
        (one,) = checks(ran).values()
        assert (one["check"], one["result"]) == ("configuration", "wrong")


def test_an_unknown_account(acme: Command) -> None:
    ran = acme.run("doctor", "acmee")
    assert (ran.code, ran.out) == (2, "")
    assert "unknown account 'acmee'" in ran.line


def test_no_prefect(acme: Command) -> None:
    ran = acme.run("doctor", "--json", PREFECT_API_URL=NOWHERE)
    assert ran.code == 1
    one = checks(ran)["prefect"]
    assert (one["result"], "does not answer" in one["says"]) == ("wrong", True)
    assert "prefect server start" in one["remedy"]


@pytest.fixture
def api(prefect_api: str) -> Iterator[httpx.Client]:
    """Prefect's API, which has no work pool of ours before and afterwards."""
    with prefect_client(prefect_api) as client:
        client.delete("/work_pools/voipsync")
        yield client
        client.delete("/work_pools/voipsync")


def test_prefect_and_its_work_pool(acme: Command, prefect_api: str, api: httpx.Client) -> None:
    def prefect() -> tuple[str, str]:
        ran = acme.run("doctor", "--json", PREFECT_API_URL=prefect_api)
        assert ran.code == 0
        one = ran.json["checks"][-1]
        return one["result"], one["says"]

    assert prefect() == (
        "warning",
        "Prefect's API answers, but has no work pool 'voipsync': commands work, schedules do not",
    )
    api.post("/work_pools/", json={"name": "voipsync", "type": "process"}).raise_for_status()
    result, says = prefect()
    assert (result, "has never polled" in says) == ("warning", True)
    api.post("/work_pools/voipsync/workers/heartbeat", json={"name": "one"}).raise_for_status()
    assert prefect() == ("ok", "Prefect's API answers, and the work pool 'voipsync' has a worker")
