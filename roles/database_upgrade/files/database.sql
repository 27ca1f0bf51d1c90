-- What keeps RDS from upgrading one database to another major version. pg_upgrade keeps no column with these types.
SELECT 'columns of type ' || format_type(a.atttypid, NULL) AS kind,
       string_agg(format('%I.%I.%I', n.nspname, c.relname, a.attname), ', ' ORDER BY n.nspname, c.relname, a.attname) AS names,
       'Change their type to text: ALTER TABLE … ALTER COLUMN … TYPE text.' AS cure
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT a.attisdropped
  AND c.relkind IN ('r', 'm', 'p', 'c')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_(temp|toast)'
  AND a.atttypid IN (
    'regcollation'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype, 'regnamespace'::regtype, 'regoper'::regtype,
    'regoperator'::regtype, 'regproc'::regtype, 'regprocedure'::regtype)
GROUP BY a.atttypid
