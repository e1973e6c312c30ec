"""A hundred rounds of two processes that renew the same tokens at once: `make chaos`."""

from __future__ import annotations

import pytest

from sandbox.serve import Sandbox
from tests.support.renewing import begin, oauth_settings, two_at_once

ROUNDS = 50


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["location", "company"])
def test_two_processes_at_once_end_with_one_rotation_every_time(ledger_url, tmp_path, kind):
    with Sandbox.process(contacts=0, burst=5000) as box:
        settings = oauth_settings(box, ledger_url, tmp_path)
        begin(box, settings, kind)
        for number in range(ROUNDS):
            two_at_once(box, settings, tmp_path, number)
