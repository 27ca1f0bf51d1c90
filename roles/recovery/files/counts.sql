-- The number of rows of every table, a checksum of their contents, and the versions of the schema: one statement, so of one moment.
-- XML is PostgreSQL's way to run a statement whose text is made of a table's name. A checksum does not depend on the order of the rows.
WITH answers AS (
    SELECT tablename::text AS name,
           query_to_xml(
               format(
                   CASE WHEN %(checksums)s
                        THEN 'SELECT count(*) AS rows, coalesce(sum((''x'' || left(md5(t::text), 15))::bit(60)::bigint), 0) AS checksum FROM %%I.%%I AS t'
                        ELSE 'SELECT count(*) AS rows, '''' AS checksum FROM %%I.%%I AS t'
                   END,
                   schemaname, tablename
               ), false, true, ''
           ) AS answer
    FROM pg_tables
    WHERE schemaname = 'public'
)
SELECT jsonb_build_object(
    'rows', (SELECT jsonb_object_agg(name, (xpath('/row/rows/text()', answer))[1]::text::bigint) FROM answers),
    'checksums', (SELECT jsonb_object_agg(name, coalesce((xpath('/row/checksum/text()', answer))[1]::text, '')) FROM answers),
    'schema', jsonb_build_object(
        'tracking', (SELECT version_num FROM alembic_version),
        'auth', (SELECT version_num FROM alembic_version_auth)
    )
) AS counts
