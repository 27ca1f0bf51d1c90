-- Privileges that the roles of server and metrics lack, or should not have: one row for tables that
-- differ alike. The server changes rows, but neither tables nor their versions; the metrics role reads some.
WITH tables AS (
    SELECT c.relname::text AS name, c.relacl AS acl
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm')
), wanted AS (
    SELECT %(server)s AS role, name, unnest(
        CASE WHEN name LIKE 'alembic\_version%%' THEN '{SELECT}'::text[] ELSE '{DELETE,INSERT,SELECT,UPDATE}' END
    ) AS privilege
    FROM tables
    UNION ALL
    SELECT %(metrics)s, name, 'SELECT' FROM tables WHERE name = ANY(string_to_array(%(metrics_tables)s, ','))
), present AS (
    SELECT pg_get_userbyid(a.grantee)::text AS role, name, a.privilege_type AS privilege
    FROM tables, aclexplode(acl) AS a
    WHERE pg_get_userbyid(a.grantee) IN (%(server)s, %(metrics)s)
), differences AS (
    SELECT 'present' AS state, * FROM (TABLE wanted EXCEPT TABLE present) AS missing
    UNION ALL
    SELECT 'absent', * FROM (TABLE present EXCEPT TABLE wanted) AS surplus
), of_tables AS (
    SELECT state, role, name, string_agg(privilege, ',' ORDER BY privilege) AS privileges
    FROM differences
    GROUP BY state, role, name
)
SELECT state, role, privileges, string_agg(name, ',' ORDER BY name) AS tables
FROM of_tables
GROUP BY state, role, privileges
ORDER BY state, role, privileges
