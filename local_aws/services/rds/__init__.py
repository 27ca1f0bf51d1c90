"""RDS for PostgreSQL: every DB instance is a real server."""
