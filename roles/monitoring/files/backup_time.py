"""Write to which time the database can be restored, as a metric for the node exporter.

RDS says it of the database's instance: automated backups reach up to this second. Without any the
time is 0. When RDS does not answer, the former value stays, and gets older.

Usage: backup_time.py <instance of RDS> <file>
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

NAME = "monitoring_backup_timestamp_seconds"
HELP = "Time to which RDS can restore the database; 0 if it has no backup, or RDS never answered."


def restorable(client: Any, identifier: str) -> float:
    """Return the time in seconds since the epoch; 0 without automated backups."""
    [instance] = client.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    time = instance.get("LatestRestorableTime")
    return float(time.timestamp()) if time else 0.0


def write(path: Path, seconds: float) -> None:
    """Replace the file in one step: the node exporter might be reading it."""
    text = f"# HELP {NAME} {HELP}\n# TYPE {NAME} gauge\n{NAME} {seconds:.0f}\n"
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)


def main() -> int:
    """Ask RDS, and write the answer."""
    identifier, path = sys.argv[1], Path(sys.argv[2])
    config = Config(connect_timeout=10, read_timeout=30, retries={"total_max_attempts": 3})
    try:
        write(path, restorable(boto3.client("rds", config=config), identifier))
    except (BotoCoreError, ClientError) as error:
        print(f"RDS does not say when it backed up {identifier}: {error}", file=sys.stderr)
        if not path.exists():
            write(path, 0)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
