"""What is asked of MLflow's database, in SQL.

Parameters are written as psycopg2 takes them; they are put in once per connection, when the
statement is prepared there, so that PostgreSQL plans it once.
"""

# Between the names, and between the values, of a run's metrics. MLflow takes it in no name.
SEPARATOR = "\x1f"

# Samples that every served run has beside its metrics: info and start time. An end time is another.
SAMPLES_OF_A_RUN = 2

# Up to so many runs are counted one by one, which takes some hundredths of a second.
COUNTED_RUNS = 100_000

# One row for each active experiment with its latest active run, and one row without where there is
# no run at all.
#
# - The order of the runs is that of MLflow's own search, and that of the index of role mlflow.
#   While the index is missing, a look for each experiment would read all runs each time: then one
#   pass over the runs is made instead. PostgreSQL runs only the half whose condition holds.
# - MLflow writes an infinity as the largest number that a double holds, and NaN as 0 with a flag.
#   PostgreSQL writes a double in the fewest digits that read back as the same one.
# - The runs that started last are served first. A run at the limit is served with as many of its
#   metrics as there is room for, those after it not at all.
LATEST_RUNS = """
WITH facts AS MATERIALIZED (
  SELECT (SELECT max(version_num) FROM alembic_version) AS schema,
         EXISTS (SELECT FROM pg_index
                 WHERE indexrelid = to_regclass('mlflow_latest_run') AND indisvalid) AS indexed
),
latest AS (
  SELECT e.experiment_id, e.name AS experiment_name, r.*
  FROM experiments AS e
  CROSS JOIN LATERAL (
    SELECT run_uuid, name AS run_name, status, start_time, end_time
    FROM runs
    WHERE experiment_id = e.experiment_id AND lifecycle_stage = 'active'
    ORDER BY start_time DESC, run_uuid
    LIMIT 1
  ) AS r
  WHERE e.lifecycle_stage = 'active' AND (SELECT indexed FROM facts)
  UNION ALL
  (
    SELECT DISTINCT ON (e.experiment_id)
           e.experiment_id, e.name, r.run_uuid, r.name, r.status, r.start_time, r.end_time
    FROM (
      SELECT experiment_id, max(start_time) AS start_time
      FROM runs
      WHERE lifecycle_stage = 'active'
      GROUP BY experiment_id
    ) AS last
    JOIN runs AS r USING (experiment_id, start_time)
    JOIN experiments AS e USING (experiment_id)
    WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'
      AND NOT (SELECT indexed FROM facts)
    ORDER BY e.experiment_id, r.run_uuid
  )
),
measured AS (
  SELECT latest.*, metrics.*,
         CASE WHEN NOT (%(experiments)s IS NULL OR experiment_name ~ %(experiments)s)
                THEN 'experiment'
              WHEN start_time < 1000 * (extract(epoch FROM now()) - %(max_age)s) THEN 'age'
         END AS reason,
         %(samples_of_a_run)s + (end_time IS NOT NULL)::int AS own
  FROM latest
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS found,
           count(*) FILTER (WHERE %(names)s IS NULL OR key ~ %(names)s)::int AS kept,
           string_agg(key, %(separator)s)
             FILTER (WHERE %(names)s IS NULL OR key ~ %(names)s) AS keys,
           string_agg(
             CASE WHEN is_nan THEN 'NaN'
                  WHEN value >= 1.7976931348623157e308 THEN '+Inf'
                  WHEN value <= -1.7976931348623157e308 THEN '-Inf'
                  ELSE value::text END,
             %(separator)s
           ) FILTER (WHERE %(names)s IS NULL OR key ~ %(names)s) AS values
    FROM latest_metrics
    WHERE run_uuid = latest.run_uuid
  ) AS metrics
),
counted AS (
  SELECT *,
         %(max_series)s - sum(own + kept) OVER (
           PARTITION BY reason ORDER BY start_time DESC, run_uuid ROWS UNBOUNDED PRECEDING
         ) + kept AS room
  FROM measured
)
SELECT facts.schema, facts.indexed,
       coalesce(reason, CASE WHEN room < 0 THEN 'limit' END) AS dropped, found, kept, own, room,
       run_uuid, run_name, status, start_time, end_time, experiment_id, experiment_name,
       CASE WHEN served THEN ARRAY[%(tags)s]::text[] END AS tags,
       CASE WHEN served THEN keys END AS keys,
       CASE WHEN served THEN values END AS values
FROM facts
LEFT JOIN (SELECT *, reason IS NULL AND room >= 0 AS served FROM counted) AS run ON true
"""

# One of the tags that LATEST_RUNS has a place for; a look for each is quicker than one for all.
TAG = "(SELECT value FROM tags WHERE key = %s AND run_uuid = run.run_uuid)"

# Whether more than half of the connections that the role may have are taken.
CROWDED = """
SELECT rolconnlimit >= 0 AND 2 * (
         SELECT count(*) FROM pg_stat_activity WHERE usesysid = pg_roles.oid
       ) > rolconnlimit
FROM pg_roles WHERE rolname = current_user
"""

# How many there are, as rows of family, label and number. Runs are counted one by one as long as
# that is quick; beyond, PostgreSQL's own statistics are read, which autovacuum keeps.
COUNTS = """
WITH estimate AS MATERIALIZED (
  SELECT reltuples AS runs, reltuples > %(exact_up_to)s AS needed
  FROM pg_class WHERE oid = 'runs'::regclass
),
shares AS (
  SELECT attname, share.*
  FROM pg_stats
  CROSS JOIN LATERAL
    unnest(most_common_vals::text::text[], most_common_freqs) AS share (value, part)
  WHERE schemaname = (SELECT relnamespace::regnamespace::text FROM pg_class
                      WHERE oid = 'runs'::regclass)
    AND tablename = 'runs' AND attname IN ('status', 'lifecycle_stage')
)
SELECT 'experiments', lifecycle_stage, count(*)::float FROM experiments GROUP BY lifecycle_stage
UNION ALL
SELECT 'runs', status, count(*) FROM runs
WHERE lifecycle_stage = 'active' AND NOT (SELECT needed FROM estimate)
GROUP BY status
UNION ALL
SELECT 'runs', status.value, round(estimate.runs * status.part * active.part)
FROM estimate
JOIN shares AS status ON status.attname = 'status'
JOIN shares AS active ON active.attname = 'lifecycle_stage' AND active.value = 'active'
WHERE needed
UNION ALL
SELECT 'runs_estimated', NULL, needed::int FROM estimate
UNION ALL
SELECT 'registered_models', NULL, count(*) FROM registered_models
UNION ALL
SELECT 'model_versions', NULL, count(*) FROM model_versions
WHERE current_stage <> 'Deleted_Internal'
"""

# One row for each alias of a registered model, with the metrics of the run that made the version.
#
# - The registry keeps a version whose run was deleted: its alias is served, without metrics. So is
#   one whose run is in an experiment that the filter leaves out.
# - Aliases are ordered by their names, so that the same ones are served at each scrape.
ALIASES = """
WITH aliased AS (
  SELECT a.workspace, a.name AS model, a.alias, a.version, v.run_id, r.experiment_id, r.matching,
         metrics.*
  FROM registered_model_aliases AS a
  CROSS JOIN LATERAL (
    -- LIMIT makes PostgreSQL look for each by its key. A join would read all versions, or all runs.
    SELECT run_id FROM model_versions
    WHERE workspace = a.workspace AND name = a.name AND version = a.version
      AND current_stage <> 'Deleted_Internal'
    LIMIT 1
  ) AS v
  LEFT JOIN LATERAL (
    SELECT run_uuid, experiment_id,
           %(experiments)s IS NULL OR e.name ~ %(experiments)s AS matching
    FROM runs
    JOIN experiments AS e USING (experiment_id)
    WHERE run_uuid = v.run_id AND runs.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'
    LIMIT 1
  ) AS r ON true
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS found, count(*) FILTER (WHERE wanted)::int AS kept,
           string_agg(key, %(separator)s) FILTER (WHERE wanted) AS keys,
           string_agg(number, %(separator)s) FILTER (WHERE wanted) AS values
    FROM (
      SELECT key,
             CASE WHEN is_nan THEN 'NaN'
                  WHEN value >= 1.7976931348623157e308 THEN '+Inf'
                  WHEN value <= -1.7976931348623157e308 THEN '-Inf'
                  ELSE value::text END AS number,
             r.matching AND (%(names)s IS NULL OR key ~ %(names)s) AS wanted
      FROM latest_metrics
      WHERE run_uuid = r.run_uuid
    ) AS logged
  ) AS metrics
),
counted AS (
  SELECT *,
         %(max_model_series)s - sum(1 + kept) OVER (
           ORDER BY workspace, model, alias ROWS UNBOUNDED PRECEDING
         ) + kept AS room
  FROM aliased
)
SELECT matching, found, kept, room, workspace, model, alias, version, run_id, experiment_id,
       CASE WHEN room >= 0 THEN keys END, CASE WHEN room >= 0 THEN values END
FROM counted
ORDER BY workspace, model, alias
"""

# Rows of workspace, model, version, run and number: how many versions each registered model has,
# and which of them come from the runs of the parameter. It reads all versions, so it is asked as
# seldom as COUNTS. The last column is how many rows there would be without the limit.
VERSIONS = """
WITH present AS MATERIALIZED (
  SELECT workspace, name, version, run_id
  FROM model_versions
  WHERE current_stage <> 'Deleted_Internal'
),
found AS (
  SELECT m.workspace, m.name, NULL::int AS version, NULL AS run_id,
         count(present.version) AS number
  FROM registered_models AS m
  LEFT JOIN present USING (workspace, name)
  GROUP BY m.workspace, m.name
  UNION ALL
  SELECT workspace, name, version, run_id, 1 FROM present WHERE run_id = ANY ($1)
)
SELECT *, count(*) OVER () FROM found
ORDER BY version IS NOT NULL, workspace, name, version
LIMIT %(max_model_series)s
"""
