from __future__ import annotations

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.dialects import sqlite

from tasks.errors import ConfigurationError
from tasks.ledger import key_file
from tasks.ledger.columns import Sealed, SealedJson
from tasks.ledger.sealing import MARK, Key, Sealer, bind, bound
from tasks.settings import State
from tests.support.forking import at_once

PHRASE = "correct horse battery staple"
OTHER = "another sixteen characters"


def sealer(*keys, file=None):
    return Sealer([Key(key) for key in keys], file)


def state(tmp_path, monkeypatch, *keys):
    for number, key in enumerate(keys):
        monkeypatch.setenv(f"VOIPSYNC_TEST_KEY_{number}", key)
    references = [f"${{VOIPSYNC_TEST_KEY_{number}}}" for number in range(len(keys))]
    return State(encryption_keys=references, key_file=str(tmp_path / "keys" / "key"))


@given(st.text())
def test_whatever_is_sealed_opens_and_shows_nothing(written):
    ours = sealer(PHRASE)
    sealed = ours.seal(written)
    assert ours.open(sealed) == written
    assert sealed.startswith(MARK)
    assert len(written) < 5 or written not in sealed


@given(st.text(min_size=1))
def test_what_is_looked_up_by_is_always_the_same_under_one_key(written):
    first, second = sealer(OTHER, PHRASE).forms(written)
    assert [second] == sealer(PHRASE).forms(written)
    assert first != second
    assert sealer(OTHER).open(first) == sealer(PHRASE).open(second) == written


def test_a_fernet_key_is_used_as_it_is():
    key = Fernet.generate_key().decode()
    token = sealer(key).seal("x").rpartition(":")[2]
    assert Fernet(key).decrypt(token) == b"x"


def test_any_other_text_is_stretched_always_to_the_same_key():
    # a text that a lenient decoder would take for a shorter key
    padded = base64.urlsafe_b64encode(bytes(32)).decode() + "!"
    assert sealer(padded).open(sealer(padded).seal("x")) == "x"
    assert len({Key(one).id for one in (PHRASE, PHRASE + " ", padded, padded[:-1])}) == 4
    assert Key(PHRASE).id == "5b80c851bce0"


def test_the_newest_key_seals_and_every_key_opens():
    old = sealer(PHRASE).seal("x")
    both = sealer(OTHER, PHRASE)
    assert both.open(old) == "x"
    assert sealer(OTHER).open(both.seal("x")) == "x"


@pytest.mark.parametrize("spoil", [lambda s: s[:-8] + "AAAAAAA=", lambda s: s[:30], lambda s: s + "é"])
@pytest.mark.parametrize("kind", ["seal", "seal_same"])
def test_what_was_changed_does_not_open(spoil, kind):
    key = Key(PHRASE)
    with pytest.raises(ConfigurationError, match="was changed since"):
        Sealer([key]).open(spoil(getattr(key, kind)("nobody@example.com")))


def test_without_the_key_the_error_names_the_setting_and_the_remedy(tmp_path):
    sealed = sealer(PHRASE).seal("x")
    for ours in (sealer(OTHER), sealer(file=tmp_path / "none")):
        with pytest.raises(
            ConfigurationError, match=r"not in state\.encryption_keys.*: put it back"
        ) as caught:
            ours.open(sealed)
        assert "\n" not in str(caught.value)
        assert PHRASE not in str(caught.value) + repr(ours)


def test_keys_show_nothing_of_themselves():
    key = Key(PHRASE)
    assert PHRASE not in repr(key) + repr(Sealer([key])) + str(key)


def test_configured_keys_are_references_the_newest_first(tmp_path, monkeypatch):
    ours = Sealer.of(state(tmp_path, monkeypatch, PHRASE, OTHER))
    assert ours.ids == (Key(PHRASE).id, Key(OTHER).id)
    assert ours.seal("x").startswith(MARK + Key(PHRASE).id)
    assert not (tmp_path / "keys").exists()


def test_a_key_that_is_too_short_is_refused_without_showing_it(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"state\.encryption_keys\.1: is shorter than 16") as caught:
        Sealer.of(state(tmp_path, monkeypatch, PHRASE, "hunter2"))
    assert "hunter2" not in str(caught.value)


def test_what_the_key_file_sealed_still_opens_once_keys_are_configured(tmp_path, monkeypatch):
    sealed = Sealer.of(state(tmp_path, monkeypatch)).seal("x")
    assert Sealer.of(state(tmp_path, monkeypatch, PHRASE)).open(sealed) == "x"


def test_personal_data_is_sealed_only_where_keys_are_configured(tmp_path, monkeypatch):
    assert Sealer.of_ledger(state(tmp_path, monkeypatch)) is None
    assert Sealer.of_ledger(state(tmp_path, monkeypatch, PHRASE)).ids == (Key(PHRASE).id,)


# the key file


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_key_file_is_made_when_something_is_first_sealed_for_its_owner_alone(tmp_path, monkeypatch):
    path = tmp_path / "keys" / "key"
    ours = Sealer.of(state(tmp_path, monkeypatch))
    assert not path.parent.exists()
    before = os.umask(0)
    try:
        sealed = ours.seal("x")
    finally:
        os.umask(before)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert [one.name for one in path.parent.iterdir()] == ["key"]
    assert Sealer.of(state(tmp_path, monkeypatch)).open(sealed) == "x"
    assert key_file.FERNET.fullmatch(path.read_text().strip())


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    one, other, remote = (
        key_file.located(State(url=url))
        for url in ("sqlite:///one.db", "sqlite:///other.db", "postgresql+psycopg://me:pw@host/db")
    )
    assert one.parent == other.parent == tmp_path / ".voipsync"
    assert len({one, other, remote}) == 3
    assert remote == key_file.located(State(url="postgresql+psycopg://you@host/db"))
    assert key_file.located(State(key_file="~/here")) == tmp_path / "here"


READ_OR_MAKE = """
import sys
from pathlib import Path
from tasks.ledger import key_file
print(key_file.read_or_make(Path(sys.argv[1])))
"""


def test_processes_that_start_at_once_end_with_one_key(tmp_path):
    found = at_once(READ_OR_MAKE, str(tmp_path / "keys" / "key"), processes=4, folder=tmp_path)
    assert len(set(found)) == 1
    assert found[0].strip() == str(key_file.read_or_make(tmp_path / "keys" / "key"))


def test_threads_that_start_at_once_end_with_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(key_file.read_or_make, [tmp_path / "key"] * 40))
    assert len({tuple(keys) for keys in found}) == 1


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_that_others_can_read_is_refused(tmp_path, bits):
    path = tmp_path / "key"
    key_file.read_or_make(path)
    path.chmod(bits)
    with pytest.raises(ConfigurationError, match=f"run chmod 600 {path}"):
        sealer(file=path).seal("x")


@pytest.mark.parametrize("content", [b"", b"\n", b"not a key", b"\xff\xfe", bytes(44)])
def test_a_damaged_key_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"state\.key_file: .* is empty or damaged: put its backup"):
        sealer(file=path).seal("x")
    assert path.read_bytes() == content


def test_a_key_file_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"state\.key_file: cannot (make|read) "):
        sealer(file=tmp_path / "file" / "key").seal("x")


def test_rotating_keeps_the_old_key_until_the_end_and_goes_on_where_it_was_interrupted(tmp_path):
    path = tmp_path / "key"
    (old,) = key_file.read_or_make(path)
    killed = key_file.rotating(path)
    killed.__enter__()
    interrupted = key_file.read(path)
    assert killed.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is False
    assert interrupted[1:] == [old]
    with key_file.rotating(path):
        assert key_file.read(path) == interrupted
    assert key_file.read(path) == interrupted[:1]
    assert mode(path) == 0o600


# columns


def dialect(*keys):
    made = sqlite.dialect()
    if keys:
        bind(made, sealer(*keys))
    return made


def test_a_database_without_a_sealer_keeps_everything_as_it_is():
    plain = create_engine("sqlite://").dialect
    assert bound(plain) is None
    assert Sealed(5).process_bind_param("Zażółć", plain) == "Zażół"
    assert SealedJson().process_bind_param({"a": 1}, plain) == {"a": 1}
    assert Sealed().forms("x", plain) == ["x"]


def test_what_others_wrote_is_never_taken_for_something_sealed():
    plain, ours = dialect(), dialect(PHRASE)
    stolen = Sealed().process_bind_param("victim@example.com", ours)
    for written in (stolen, MARK + stolen, MARK):
        kept = Sealed().process_bind_param(written, plain)
        assert not kept.startswith(MARK)
        assert stolen not in Sealed().forms(written, ours)


def test_sealed_columns_open_what_they_hold_and_refuse_without_the_key():
    ours = dialect(OTHER, PHRASE)
    words, content = "x\0\ud83d", {"body": "x\0\ud83d", "n": [1, None]}
    kept, of_json = (
        Sealed().process_bind_param(words, ours),
        SealedJson().process_bind_param(content, ours),
    )
    assert Sealed().process_result_value(kept, ours) == "x?"
    assert SealedJson().process_result_value(of_json, ours) == content
    assert (Sealed().process_bind_param(None, ours), SealedJson().process_bind_param(None, ours)) == (
        None,
        None,
    )
    for value, kind in ((kept, Sealed()), (of_json, SealedJson())):
        with pytest.raises(ConfigurationError, match=r"state\.encryption_keys"):
            kind.process_result_value(value, dialect())


def test_plain_values_are_read_where_encryption_was_turned_on_later():
    ours = dialect(PHRASE)
    assert Sealed().process_result_value("a@example.com", ours) == "a@example.com"
    assert SealedJson().process_result_value({"a": 1}, ours) == {"a": 1}
    assert Sealed().forms("a@example.com", ours)[0] == "a@example.com"
