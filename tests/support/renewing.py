"""Processes that renew an account's OAuth tokens: two at once, or one that dies at a step."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.client import Box
from tasks.engine.vault import GrantKeeper, Vault, open_vault
from tasks.errors import VoipsyncError
from tasks.highlevel.access import OAuthAccess
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.oauth import Grant
from tasks.settings import Settings, State
from tasks.transport import Transport
from tests.support.accounts import KEY, TOKEN, settings_of
from tests.support.forking import execute
from tests.support.workers import Worker

SECRET = "VOIPSYNC_TEST_CLIENT_SECRET"
STEPS = ("asked", "answered", "saved")
"""Where a renewal may die: before its request, before the answer is saved, before the token is used."""
USE = "from tests.support.renewing import use\nuse()"


def oauth_settings(box: Box, url: str, folder: Path, *, version: str = "v3", **oauth: Any) -> Settings:
    """Settings of account ``acme`` with an app, its key in a folder of the test's own."""
    os.environ[SECRET] = box.oauth["client_secret"]
    app = {"client_id": box.oauth["client_id"], "client_secret": f"${{{SECRET}}}", **oauth}
    app.setdefault("redirect_uri", "https://sync.example.com/callback")
    settings = settings_of(box, url, destination={"token": None, "oauth": app, "api_version": version})
    return settings.model_copy(update={"state": State(url=url, key_file=str(folder / "key"))})


def begin(box: Box, settings: Settings, kind: str = "location") -> None:
    """Store a grant that is due, as a person's agreement some time ago left it."""
    given = box.oauth[kind]
    whose = {"company_id": box.company_id} if kind == "company" else {"location_id": box.location_id}
    put(settings, Grant(refresh_token=given["refresh_token"], token="stale", expires_at=1.0, **whose))


def put(settings: Settings, grant: Grant) -> None:
    """Store a grant, whatever is there."""
    with open_vault("acme", settings) as vault:
        keeper = vault.keeper()
        vault.database.now_do(lambda connection: keeper.put(connection, grant))


def kept(settings: Settings) -> Grant:
    """The grant that is stored."""
    with open_vault("acme", settings) as vault:
        return vault.database.now_look(vault.keeper().read)


def age(settings: Settings) -> None:
    """Let the stored access token be due."""
    put(settings, replace(kept(settings), issued_at=0.0, expires_at=1.0))


def rotations(box: Box) -> int:
    """How often the token endpoint was asked."""
    return int(box.counters()["highlevel"]["operations"].get("get-token", 0))


def start(box: Box, settings: Settings, told: Path, *, at: float = 0.0, dies: str = "") -> Worker:
    """Start a process that takes the token, at an instant, and uses it once."""
    job = {
        "settings": settings.model_dump(mode="json"),
        "environment": {KEY: box.api_key, TOKEN: box.token, SECRET: box.oauth["client_secret"]},
        "at": at,
        "dies": dies,
    }
    return Worker(execute(USE, json.dumps(job), out=told), told)


def two_at_once(box: Box, settings: Settings, folder: Path, number: int) -> None:
    """One round: both get the same new token, by one rotation."""
    age(settings)
    before, at = rotations(box), time.time() + 0.3
    both = [start(box, settings, folder / f"{number}-{one}.json", at=at) for one in range(2)]
    assert [one.end() for one in both] == [0, 0]
    first, second = (one.report for one in both)
    assert first == second
    assert (rotations(box) - before, first["token"]) == (1, _digest(kept(settings).token))


def use() -> None:
    """Do the job that the command line names, and print what came of it."""
    job = json.loads(sys.argv[1])
    os.environ.update(job["environment"])
    said = asyncio.run(_use(Settings(**job["settings"]), job["at"], job["dies"]))
    sys.stdout.write(json.dumps(said) + "\n")


async def _use(settings: Settings, at: float, dies: str) -> dict[str, Any]:
    with open_vault("acme", settings) as vault:
        access = _access(vault, dies)
        place = vault.account.destination
        wire = Transport("HighLevel", place.base_url, access)
        await asyncio.sleep(max(0.0, at - time.time()))
        try:
            await ContactsApi(wire, location_id=place.location_id, version=place.api_version).get_location()
        except VoipsyncError as error:
            return {"error": str(error)}
        finally:
            await wire.close()
        return {"token": _digest(kept(settings).token)}


def _access(vault: Vault, dies: str) -> OAuthAccess:
    access = vault.destination()
    assert isinstance(access, OAuthAccess)
    if dies:
        access.keeper = _Mortal(vault.keeper(), dies)
    return access


@dataclass
class _Mortal:
    """A keeper whose process is killed at a step."""

    keeper: GrantKeeper
    dies: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.keeper, name)

    async def save(self, grant: Grant, *, instead_of: Grant) -> Grant:
        fresh = grant.refresh_token != instead_of.refresh_token
        if fresh and self.dies == "answered":
            os.kill(os.getpid(), signal.SIGKILL)
        saved = await self.keeper.save(grant, instead_of=instead_of)
        if self.dies == ("saved" if fresh else "asked"):
            os.kill(os.getpid(), signal.SIGKILL)
        return saved


def _digest(token: str | None) -> str:
    return hashlib.sha256((token or "").encode()).hexdigest()
