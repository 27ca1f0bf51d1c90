"""To which times a DB instance can be restored.

1. An instance with backups archives its write-ahead log from its creation on (moto: nothing).
2. When its automated snapshot is complete, `begin` opens the window at that time.
3. `advance` archives the log up to now and moves the end of the window there. On RDS that happens
   every five minutes. Here it happens in the background when the end is described and older than
   ``LOCAL_AWS_RDS_LOG_SECONDS``: an instance that nobody looks at costs nothing.
4. `close` ends the window and deletes the archive when backups are switched off.

Times have whole seconds, like RestoreTime.

Sources:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIT.html
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RestoreDBInstanceToPointInTime.html
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moto.rds.models import DBSnapshot

    from local_aws.services.rds.postgres import Postgres

_SECOND = timedelta(seconds=1)


@dataclass
class Restorable:
    """The window of one DB instance.

    Attributes
    ----------
    base
        The automated snapshot with which a restore begins; None without backups.
    earliest, latest
        The ends of the window, in UTC; `latest` is None until the archive reaches `earliest`.
    """

    postgres: Postgres
    base: DBSnapshot | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    _is_advancing: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, base: DBSnapshot) -> None:
        """Open the window: `base` is complete now."""
        # The first whole second after the snapshot, which a restore can reach.
        self.earliest = _now().replace(microsecond=0) + _SECOND
        self.latest = None
        self.base = base

    def close(self) -> None:
        """Close the window."""
        self.base = self.earliest = self.latest = None
        self.postgres.forget_archive()

    def claim(self, seconds: float) -> bool:
        """Say whether the end is older than that; the caller is then the one to `advance` it."""
        if self.base is None or (
            self.latest is not None and _now() - self.latest < timedelta(seconds=seconds)
        ):
            return False
        return self._is_advancing.acquire(blocking=False)

    def release(self) -> None:
        """Give up what `claim` has given."""
        self._is_advancing.release()

    def advance(self) -> None:
        """Archive what was committed until now, unless the window was closed meanwhile."""
        if self.base is None:
            return
        reached = _now().replace(microsecond=0)
        self.postgres.archive_now()
        if self.earliest is not None and reached >= self.earliest:
            self.latest = reached


def _now() -> datetime:
    return datetime.now(UTC)
