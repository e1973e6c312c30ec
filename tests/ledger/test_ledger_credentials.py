from __future__ import annotations

import os
from functools import partial

import pytest
from sqlalchemy import Text, cast, delete, select, update

from tasks.errors import Busy, ConfigurationError
from tasks.ledger import credentials, facts, key_file, lease, records, rotation, tables
from tasks.ledger.columns import matching
from tasks.ledger.credentials import HIGHLEVEL_OAUTH, VOIPSTUDIO_KEY, Credential
from tasks.ledger.database import opened
from tasks.ledger.records import Record
from tasks.ledger.sealing import Key, Sealer
from tasks.settings import State

OLD, NEW = Sealer([Key("correct horse battery staple")]), Sealer([Key("another sixteen characters")])
BOTH = Sealer([Key("another sixteen characters"), Key("correct horse battery staple")])
SECRET = "sk-0123456789"


def put(database, account="acme", name=VOIPSTUDIO_KEY, secret=SECRET, sealer=OLD, **values):
    values = {"about": {"name": "voipsync 2026"}, "at": 100.0, **values}
    database.now_do(lambda c: credentials.put(c, sealer, account, name, secret, **values))


def get(database, account="acme", name=VOIPSTUDIO_KEY, sealer=OLD, **options):
    return database.now_do(lambda c: credentials.get(c, sealer, account, name, **options))


def test_a_credential_comes_back_and_shows_nothing_of_itself(database):
    assert get(database) is None
    put(database)
    found = get(database, lock=True)
    assert found == Credential(
        account="acme",
        name=VOIPSTUDIO_KEY,
        secret=SECRET,
        about={"name": "voipsync 2026"},
        created_at=100.0,
        renewed_at=100.0,
    )
    assert SECRET not in repr(found)
    kept = database.now_look(lambda c: c.execute(select(tables.credentials.c.sealed)).scalar())
    assert SECRET not in kept


def test_a_renewal_keeps_since_when_it_is_and_a_new_one_does_not(database):
    put(database, renewal=True)
    put(database, secret="second", at=200.0, renewal=True)
    found = get(database)
    assert (found.secret, found.created_at, found.renewed_at) == ("second", 100.0, 200.0)
    put(database, secret="third", at=300.0)
    assert get(database).created_at == 300.0


def test_accounts_and_names_are_kept_apart_and_removed_alone(database):
    put(database)
    put(database, account="beta", secret="theirs")
    put(database, name=HIGHLEVEL_OAUTH, secret="token")
    assert get(database, account="beta").secret == "theirs"
    remove = partial(credentials.remove, account="acme", name=VOIPSTUDIO_KEY)
    assert [database.now_do(remove), database.now_do(remove)] == [True, False]
    assert get(database) is None
    held = database.now_look(lambda c: credentials.of_account(c, "acme"))
    assert {name: one.secret for name, one in held.items()} == {HIGHLEVEL_OAUTH: None}


@pytest.mark.parametrize("moved", [{"account": "beta"}, {"name": HIGHLEVEL_OAUTH}])
def test_a_credential_that_was_moved_is_not_read_as_another_s(database, moved):
    put(database)
    database.now_do(lambda c: c.execute(update(tables.credentials).values(moved)))
    with pytest.raises(ConfigurationError, match="was sealed as another's"):
        get(database, **moved)


def test_without_its_key_a_credential_is_not_read(database):
    put(database)
    with pytest.raises(ConfigurationError, match=r"state\.encryption_keys.*: put it back there"):
        get(database, sealer=NEW)


def test_rotation_seals_all_with_the_newest_key_once(database):
    put(database)
    put(database, account="beta", secret="theirs")
    put(database, account="gamma", secret="ours", sealer=NEW)
    rotate = partial(credentials.rotate, sealer=BOTH)
    assert [database.now_do(rotate), database.now_do(rotate)] == [2, 0]
    assert [get(database, account=one, sealer=NEW).secret for one in ("acme", "beta", "gamma")] == [
        SECRET,
        "theirs",
        "ours",
    ]
    assert get(database, sealer=NEW).renewed_at == 100.0


# the whole ledger


@pytest.fixture
def file_state(tmp_path):
    return State(key_file=str(tmp_path / "keys" / "key"))


def test_where_there_is_only_a_key_file_it_gets_a_new_key_and_drops_the_old(
    database, file_state, monkeypatch
):
    path = key_file.located(file_state)
    assert rotation.rotate(database, file_state) == rotation.Rotated(0, 0)
    assert not path.exists()
    ours = Sealer.of(file_state)
    put(database, sealer=ours)
    (old,) = key_file.read(path)
    with monkeypatch.context() as crashing:
        crashing.setattr(credentials, "rotate", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rotation.rotate(database, file_state)
    assert get(database, sealer=ours).secret == SECRET
    put(database, account="beta", sealer=ours)  # with the new key, in between
    assert rotation.rotate(database, file_state) == rotation.Rotated(1, 0)
    assert old not in key_file.read(path)
    assert [get(database, account=one, sealer=ours).secret for one in ("acme", "beta")] == [SECRET] * 2
    assert rotation.rotate(database, file_state) == rotation.Rotated(2, 0)


def test_a_key_file_that_was_lost_is_told_and_no_new_one_takes_its_place(database, file_state):
    put(database, sealer=Sealer.of(file_state))
    path = key_file.located(file_state)
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"nor in {path}"):
        rotation.rotate(database, file_state)
    assert not path.exists()


@pytest.fixture
def keyed(monkeypatch):
    def by(*keys):
        for key in keys:
            monkeypatch.setenv(key, f"{key} and more of it")
        return State(encryption_keys=[f"${{{key}}}" for key in keys])

    return by


def raw(database):
    """All that the tables hold, as the database has it."""
    tables_of_ours = tables.metadata.sorted_tables
    return database.now_look(
        lambda c: "\n".join(
            str(row)
            for table in tables_of_ours
            for row in c.execute(select(*(cast(column, Text) for column in table.c)))
        )
    )


def fill(database, number):
    person = {"email": "ann@example.com", "firstName": "Ann", "withheld": "+442071838750"}
    rows = [
        Record(account="acme", entity="contacts", source_id=str(one), state="synced", first_seen_at=1.0,
               content=person, error="ann@example.com is refused")
        for one in range(number)
    ]  # fmt: skip
    entry = {"account": "acme", "contact_id": "d", "email": "ann@example.com", "phone": None}
    entry |= {"source_id": "7", "name": "ann", "content": {"email": "ann@example.com"}}
    database.now_do(lambda c: records.save(c, rows))
    database.now_do(lambda c: records.upsert(c, tables.directory, [entry]))
    database.now_do(lambda c: facts.put(c, "acme", "location", {"users": ["ann@example.com"]}))


def known(database):
    entered = tables.directory.c.email
    return database.now_look(
        lambda c: (
            len(records.withholding(c, "acme", ["+442071838750"])),
            c.execute(select(entered).where(matching(c, entered, ["ann@example.com"]))).scalar(),
            facts.get(c, "acme", "location")[0],
        )
    )


def test_a_plain_ledger_is_sealed_by_batches_and_its_people_are_found_all_the_while(
    database, ledger_url, keyed, monkeypatch
):
    monkeypatch.setattr(rotation, "BATCH", 7)
    fill(database, 20)
    assert '"Ann"' in raw(database)
    everything = (20, "ann@example.com", {"users": ["ann@example.com"]})
    assert known(database) == everything
    for keys, rows in ((("OLD_KEY",), 22), (("NEW_KEY", "OLD_KEY"), 22), (("NEW_KEY",), 0)):
        state = keyed(*keys)
        with opened(ledger_url, Sealer.of_ledger(state)) as sealed:
            assert known(sealed) == everything
            assert rotation.rotate(sealed, state).rows == rows
            assert known(sealed) == everything
    shown = raw(database)
    assert "ann@example.com" not in shown.lower()
    assert '"Ann"' not in shown  # three letters may be anybody's in what is sealed
    assert "+442071838750" not in shown


def test_a_rotation_that_was_killed_is_finished_by_the_next(database, ledger_url, keyed, monkeypatch):
    monkeypatch.setattr(rotation, "BATCH", 5)
    fill(database, 20)
    state = keyed("NEW_KEY")
    with opened(ledger_url, Sealer.of_ledger(state)) as sealed:
        done, reseal = [], rotation._reseal

        def stop(connection, **given):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(1)
            return reseal(connection, **given)

        with monkeypatch.context() as killing:
            killing.setattr(rotation, "_reseal", stop)
            with pytest.raises(KeyboardInterrupt):
                rotation.rotate(sealed, state)
        assert rotation.rotate(sealed, state).rows < 22
        assert rotation.rotate(sealed, state).rows == 0
    assert "ann@example.com" not in raw(database)


def test_nothing_is_rotated_while_a_run_is_under_way(database, file_state):
    held = {"name": "loc", "owner": "x", "holder": {"run": "r1", "pid": os.getpid(), **lease.identity()}}
    now = database.now()
    row = {**held, "expires_at": now + 10, "usage": None}
    database.now_do(lambda c: records.upsert(c, tables.leases, [row]))
    with pytest.raises(Busy, match=r"run r1 .* is under way"):
        rotation.rotate(database, file_state)
    database.now_do(lambda c: c.execute(delete(tables.leases)))
    rotation.rotate(database, file_state)
