"""Move the experiments, runs, models and traces of another MLflow into this deployment.

The other one's database is a file of SQLite, on this host and only there to be imported: it is
brought to the schema of the MLflow that runs here first.
"""
