from dataclasses import asdict

import httpx
import pytest

from sandbox.scenario import Scenario
from sandbox.serve import Sandbox


@pytest.fixture(scope="session")
def running():
    with Sandbox.threaded(contacts=0) as box:
        yield box


@pytest.fixture
def box(running):
    """An empty source and an empty location; every test begins anew."""
    running.reset(**asdict(Scenario(contacts=0)))
    return running


@pytest.fixture
def crm(box):
    """A client of the destination with a good token, speaking v3."""
    headers = {"Authorization": f"Bearer {box.token}", "Version": "v3"}
    with httpx.Client(base_url=box.highlevel_url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
def voip(box):
    """A client of the source with a good key."""
    headers = {"X-Auth-Token": box.api_key}
    with httpx.Client(base_url=box.voipstudio_url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
def create(box, crm):
    """Creates a contact and answers it."""

    def create_contact(expect=201, **fields):
        answer = crm.post("/contacts/", json={"locationId": box.location_id, **fields})
        assert answer.status_code == expect, answer.text
        return answer.json().get("contact", answer.json())

    return create_contact
