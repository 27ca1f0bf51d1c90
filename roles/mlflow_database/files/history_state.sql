-- The state of schema mlflow_history as a digest, and the comment with the digests of when it was created.
SELECT obj_description(n.oid, 'pg_namespace') AS noted, md5(concat_ws(' ', n.nspacl, (
    SELECT string_agg(concat_ws(' ', c.relname, c.relacl, c.reloptions, pg_get_viewdef(c.oid)), ' ' ORDER BY c.relname)
    FROM pg_class AS c WHERE c.relnamespace = n.oid
), (
    SELECT string_agg(concat_ws(' ', p.proacl, pg_get_functiondef(p.oid)), ' ' ORDER BY p.proname)
    FROM pg_proc AS p WHERE p.pronamespace = n.oid
))) AS present
FROM pg_namespace AS n
WHERE n.nspname = 'mlflow_history'
