"""Whatever happens on either side and in between, plain runs make it right; `make chaos` plays for longer."""

from __future__ import annotations

import pytest

from sandbox.serve import Sandbox
from tests.support.games import play


@pytest.mark.timeout(300)
def test_a_game_ends_well():
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        play(box, games=6, steps=20)
