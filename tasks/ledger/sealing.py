"""Sealing: authenticated encryption of what is kept at rest, and the keys for it.

A sealed text names its key (by a digest of it), so that several keys may be in use: the newest seals, all of
them open. Two kinds are made of each key: Fernet (AES-CBC and HMAC, never twice the same) for what is only
read back, and AES-SIV (RFC 5297: the same text becomes the same sealed text) for what is also looked up by.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.engine import Dialect

from tasks.errors import ConfigurationError
from tasks.ledger import key_file
from tasks.redaction import remember
from tasks.settings import State
from tasks.values import resolve_secret

MARK = "sealed:"
"""What a sealed text begins with; then come the key's id and the token."""
SHORTEST = 16
"""Characters that a configured key must have."""
_SAME = "="
"""Begins the token of a text that is looked up by."""


class Key:
    """One key: what it opens and seals with, and the id by which sealed texts name it."""

    __slots__ = ("_fernet", "_siv", "id")

    def __init__(self, text: str) -> None:
        """Take a Fernet key as it is; stretch any other text by HKDF-SHA256.

        That does not slow down guessing: the text should be as random as a key is.
        """
        if key_file.FERNET.fullmatch(remember(text)):
            secret = base64.urlsafe_b64decode(text)
        else:
            secret = _derived(text.encode(), b"voipsync key", 32)
        self.id = _derived(secret, b"voipsync key id", 6).hex()
        self._fernet = Fernet(base64.urlsafe_b64encode(secret))
        self._siv = AESSIV(_derived(secret, b"voipsync lookup", 64))

    def seal(self, text: str) -> str:
        """Seal a text, never twice the same."""
        return f"{MARK}{self.id}:{self._fernet.encrypt(text.encode()).decode()}"

    def seal_same(self, text: str) -> str:
        """Seal a text that is looked up by, always the same."""
        token = base64.urlsafe_b64encode(self._siv.encrypt(text.encode(), None)).decode()
        return f"{MARK}{self.id}:{_SAME}{token}"

    def open(self, token: str) -> str:
        """Open what follows the key's id.

        Raises:
            ValueError: it was changed, or sealed with another key.
        """
        try:
            if token.startswith(_SAME):
                return self._siv.decrypt(base64.urlsafe_b64decode(token[1:]), None).decode()
            return self._fernet.decrypt(token).decode()
        except (InvalidToken, InvalidTag):
            raise ValueError from None


class Sealer:
    """Seals with the newest key and opens with any.

    Without configured keys the key file counts. It is read each time, and made when something is first
    sealed, so that a key that another process made, or rotated, counts at once.
    """

    __slots__ = ("_configured", "_file")

    def __init__(self, configured: Sequence[Key], file: Path | None = None) -> None:
        self._configured = tuple(configured)
        self._file = file

    @classmethod
    def of(cls, state: State) -> Sealer:
        """The sealer of credentials.

        Raises:
            ConfigurationError: a key's reference leads nowhere, or the key is too short.
        """
        return cls(_configured(state), key_file.located(state))

    @classmethod
    def of_ledger(cls, state: State) -> Sealer | None:
        """The sealer of personal data: only where keys are configured.

        Raises:
            ConfigurationError: as `of`.
        """
        return cls(_configured(state)) if state.encryption_keys else None

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the configured keys, the newest first."""
        return tuple(key.id for key in self._configured)

    def newest(self) -> Key:
        """Return the key that seals.

        Raises:
            ConfigurationError: there is none yet and the key file cannot be made.
        """
        if self._configured or self._file is None:
            return self._configured[0]
        return Key(key_file.read_or_make(self._file)[0])

    def seal(self, text: str) -> str:
        """Seal a text.

        Raises:
            ConfigurationError: as `newest`.
        """
        return self.newest().seal(text)

    def forms(self, text: str) -> list[str]:
        """Return all forms in which a text that is looked up by may be kept by now."""
        return [key.seal_same(text) for key in self._configured]

    def open(self, text: str) -> str:
        """Open a sealed text.

        Raises:
            ConfigurationError: no key of ours opens it.
        """
        name, _, token = text.removeprefix(MARK).partition(":")
        for key in self._configured:
            if key.id == name:
                return _opened(key, token)
        for key in map(Key, key_file.read(self._file) if self._file else ()):
            if key.id == name:
                return _opened(key, token)
        raise unopened(f", nor in {self._file}" if self._file else "")


def unopened(more: str = "") -> ConfigurationError:
    """What is said where a key is missing."""
    return ConfigurationError(
        f"the key that the ledger was encrypted with is not in state.encryption_keys{more}: put it back "
        "there, after newer ones, until `voipsync auth rotate` has run"
    )


_bound: WeakKeyDictionary[Dialect, Sealer] = WeakKeyDictionary()


def bind(dialect: Dialect, sealer: Sealer) -> None:
    """Let a database's columns be sealed; each engine has a dialect of its own."""
    _bound[dialect] = sealer


def bound(dialect: Dialect) -> Sealer | None:
    """Return the sealer of a database's columns, if they are sealed."""
    return _bound.get(dialect)


def _configured(state: State) -> list[Key]:
    found = []
    for number, reference in enumerate(state.encryption_keys):
        where = f"state.encryption_keys.{number}"
        text = resolve_secret(reference, where=where)
        if len(text) < SHORTEST:
            raise ConfigurationError(
                f"{where}: is shorter than {SHORTEST} characters; make one with: openssl rand -base64 32"
            )
        found.append(Key(text))
    return found


def _opened(key: Key, token: str) -> str:
    try:
        return key.open(token)
    except ValueError:
        raise ConfigurationError(
            "what is stored does not open with its key in state.encryption_keys or state.key_file: it was "
            "changed since; restore the ledger's backup, or obtain the credential again with `voipsync auth`"
        ) from None


def _derived(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=info).derive(secret)
