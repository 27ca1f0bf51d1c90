"""RDS for PostgreSQL: every DB instance is a real server."""

from local_aws.rds.api import apply

__all__ = ["apply"]
