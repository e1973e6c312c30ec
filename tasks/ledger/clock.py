"""The ledger's time, UTC seconds: the database's clock, the only one that all machines share.

What is stored with a time, or compared with a stored one, is told by this clock, so that a machine whose own
is wrong does what any other would do. A server's clock is asked once for each process, and again whenever the
lease is renewed; in between the seconds since this machine's start are counted, at no cost and right through
its sleep. An embedded database has the clock of the machine it is on.

Pauses and time-outs of one process are none of this: they count `time.monotonic`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Float, cast, func, select

_ASK = select(cast(func.extract("epoch", func.clock_timestamp()), Float))


@dataclass(slots=True)
class ServerClock:
    """A database server's clock, by what it said and by the seconds since this machine's start."""

    _ahead: float | None = None
    """Of the boot clock."""

    @property
    def known(self) -> bool:
        """Whether it was ever asked."""
        return self._ahead is not None

    def now(self) -> float:
        """What it shows, UTC seconds; it was asked before."""
        assert self._ahead is not None  # noqa: S101 - `known`
        return boot_clock() + self._ahead

    def learn(self, told: float, asked: float, answered: float) -> None:
        """It showed ``told`` at some moment between two of the boot clock.

        What was known stays where that agrees with it, so that a slow answer spoils nothing; else it moves as
        little as it must, and so follows a clock that drifts or is set.
        """
        least, most = told - answered, told - asked
        known = (least + most) / 2 if self._ahead is None else self._ahead
        self._ahead = min(max(known, least), most)


class OwnClock:
    """The clock of this machine, on which an embedded database is."""

    known = True

    def now(self) -> float:
        """What it shows, UTC seconds."""
        return time.time()


Clock = ServerClock | OwnClock
_clocks: WeakKeyDictionary[Dialect, Clock] = WeakKeyDictionary()


def clock_of(dialect: Dialect) -> Clock:
    """Return a database's clock; each engine has a dialect of its own."""
    return _clocks.setdefault(dialect, ServerClock() if dialect.name == "postgresql" else OwnClock())


def lend(dialect: Dialect, clock: Clock) -> None:
    """Let a database go by the clock of another one, for which it stands in."""
    _clocks[dialect] = clock


def now(connection: Connection) -> float:
    """The ledger's time, UTC seconds, without a question where it was ever asked before."""
    clock = clock_of(connection.dialect)
    return clock.now() if clock.known else ask(connection)


def ask(connection: Connection) -> float:
    """Ask the database for its time, UTC seconds, and go by the answer from then on."""
    clock = clock_of(connection.dialect)
    if isinstance(clock, OwnClock):
        return clock.now()
    asked = boot_clock()
    told = float(connection.execute(_ASK).scalar_one())
    clock.learn(told, asked, boot_clock())
    return told


def boot_clock() -> float:
    """Seconds that go on while the machine sleeps, where it can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
