"""SQL by which PostgreSQL writes what runs hold as the JSON of MLflow's messages.

Each is an aggregate over the rows of its table. Messages have no field that is null.
"""

# A double is never written as an integer: PostgreSQL leaves the decimal point out below 1e15.
METRICS = """json_agg(json_build_object(
        'key', key, 'value', CASE
            WHEN is_nan THEN '"NaN"'::json
            WHEN value = trunc(value) AND abs(value) < 1e15 THEN (value::text || '.0')::json
            ELSE to_json(value) END,
        'timestamp', timestamp, 'step', step))::text"""
PARAMS = "json_agg(json_build_object('key', key, 'value', value))::text"
TAGS = "json_agg(json_strip_nulls(json_build_object('key', key, 'value', value)))::text"
# Over `inputs` and `datasets`.
DATASETS = """json_agg(json_strip_nulls(json_build_object(
        'tags', (
            SELECT json_agg(json_build_object('key', input_tags.name, 'value', input_tags.value))
            FROM input_tags WHERE input_tags.input_uuid = inputs.input_uuid),
        'dataset', json_build_object(
            'name', name, 'digest', digest, 'source_type', dataset_source_type,
            'source', dataset_source, 'schema', dataset_schema, 'profile', dataset_profile)
        )))::text"""
