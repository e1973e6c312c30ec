"""The key file: where the key is kept that was made because none is configured.

One key a line, the newest first; more than one only while `rotating` goes on, or where it was interrupted.
The file is always replaced whole, so that no crash and no second process ever finds half of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet
from sqlalchemy import make_url

from tasks.errors import ConfigurationError
from tasks.settings import State

FERNET = re.compile(r"[A-Za-z0-9_-]{43}=")
"""What `Fernet.generate_key` makes: 32 random bytes."""


def located(state: State) -> Path:
    """Return where ``[state] key_file`` is; ``{ledger}`` in it stands for the ledger that it belongs to.

    A key file that several ledgers share would lose the others' key when one of them rotates.
    """
    url = make_url(state.url)
    here = Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else url.database
    ledger = hashlib.sha256(f"{url.host}:{url.port}/{here}".encode()).hexdigest()[:12]
    try:
        return Path(state.key_file.replace("{ledger}", ledger)).expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError("state.key_file: there is no home directory for ~: name a path") from None


def read(path: Path) -> list[str]:
    """Return the keys, the newest first; none where there is no file.

    Raises:
        ConfigurationError: others can read the file, or it does not hold keys.
    """
    try:
        with path.open(encoding="ascii") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(f"state.key_file: others can read {path}: run chmod 600 {path}")
            lines = file.read().split()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"state.key_file: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        lines = []
    if not lines or not all(FERNET.fullmatch(line) for line in lines):
        raise ConfigurationError(
            f"state.key_file: {path} is empty or damaged: put its backup back, or remove it and obtain the "
            "stored credentials again with `voipsync auth`"
        )
    return lines


def read_or_make(path: Path) -> list[str]:
    """As `read`; where there is no file, it is made with a new key, by one process alone.

    Raises:
        ConfigurationError: as `read`; or the file cannot be made.
    """
    keys = read(path)
    if keys:
        return keys
    with _locked(path):
        keys = read(path)  # another process may have been faster
        if not keys:
            keys = [Fernet.generate_key().decode()]
            _write(path, keys)
    return keys


@contextmanager
def rotating(path: Path) -> Iterator[None]:
    """Put a new key in front, where there is one; at the end only the new one is left.

    What is interrupted in between leaves both keys, and the next time goes on with them.
    """
    with _locked(path):
        keys = read(path)
        if len(keys) == 1:
            keys = [Fernet.generate_key().decode(), *keys]
            _write(path, keys)
        yield
        if keys:
            _write(path, keys[:1])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file; a directory that is missing is made, for us alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _cannot_make(path, error) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _write(path: Path, keys: Sequence[str]) -> None:
    """Replace the file whole, durably; nobody else can read it at any instant."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        made = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "w", encoding="ascii") as file:
            file.writelines(f"{key}\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        held = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(held)
        finally:
            os.close(held)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _cannot_make(path, error) from None


def _cannot_make(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"state.key_file: cannot make {path} ({error.strerror}): name another place, or give "
        "state.encryption_keys"
    )
