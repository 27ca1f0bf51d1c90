-- What keeps RDS from upgrading the server to another major version: one row for each kind.
-- https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_UpgradeDBInstance.PostgreSQL.MajorVersion.Process.html
SELECT 'prepared transactions' AS kind, string_agg(quote_literal(gid), ', ' ORDER BY gid) AS names,
       'Commit or roll them back (COMMIT PREPARED, ROLLBACK PREPARED).' AS cure
FROM pg_prepared_xacts HAVING count(*) > 0
UNION ALL
SELECT 'logical replication slots', string_agg(slot_name, ', ' ORDER BY slot_name),
       'Drop them: SELECT pg_drop_replication_slot(…).'
FROM pg_replication_slots WHERE slot_type = 'logical' HAVING count(*) > 0
UNION ALL
SELECT 'invalid databases', string_agg(datname, ', ' ORDER BY datname), 'Drop them: DROP DATABASE ….'
FROM pg_database WHERE datconnlimit = -2 HAVING count(*) > 0
