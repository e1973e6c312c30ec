"""A hundred games of `tests.support.games`, long ones: `make chaos`. Not collected by a plain pytest.

``CHAOS_GAMES`` says how many; Hypothesis prints how one that is lost is played again.
"""

from __future__ import annotations

import os

from sandbox.serve import Sandbox
from tests.support.games import play

GAMES = int(os.environ.get("CHAOS_GAMES", "100"))


def test_games_end_well():
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        play(box, games=GAMES, steps=40)
