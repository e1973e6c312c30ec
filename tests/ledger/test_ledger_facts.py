from __future__ import annotations

from tasks.ledger import facts


def test_a_fact_comes_back_with_its_time(database):
    for value in (7, 0, False, "é 🙂", ["a", None], {"walk": {"page": 3}}, {}, None):
        before = database.now()
        database.now_do(lambda connection, value=value: facts.put(connection, "acme", "walk", value))
        known = database.now_look(lambda connection: facts.get(connection, "acme", "walk"))
        assert known is not None
        assert known[0] == value
        assert before <= known[1] <= database.now()


def test_the_last_value_counts_and_others_stay(database):
    for account, value in (("acme", 1), ("beta", 2), ("acme", 3)):
        database.now_do(lambda c, account=account, value=value: facts.put(c, account, "walk", value))
    known = {
        account: database.now_look(lambda c, account=account: facts.get(c, account, "walk"))
        for account in ("acme", "beta", "gamma")
    }
    assert known["acme"][0] == 3
    assert known["beta"][0] == 2
    assert known["gamma"] is None
    assert database.now_look(lambda c: facts.get(c, "acme", "other")) is None
