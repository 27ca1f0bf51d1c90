"""The routes of a release of MLflow, Flask's and FastAPI's."""

from __future__ import annotations

import json
import subprocess

from tests.tracking_server import VERSION, environment

SCRIPT = """
import json, os
os.environ["_MLFLOW_SGI_NAME"] = "gunicorn"
os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = "0"
from mlflow.server import app
from mlflow.server.fastapi_app import create_fastapi_app
def walk(routes, prefix=""):
    for route in routes:
        if hasattr(route, "original_router"):
            yield from walk(route.original_router.routes, prefix + route.include_context.prefix)
        else:
            yield from ((m, prefix + route.path) for m in getattr(route, "methods", None) or ())
flask = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods}
native = set(walk(create_fastapi_app(app).routes))
assert ("POST", "/v1/traces") in native, native
print(json.dumps(sorted(flask | native)))
"""


def routes(version: str = VERSION, *, login: bool = False) -> list[tuple[str, str]]:
    """Return method and path of each route, sorted.

    Parameters
    ----------
    version
        A release that has a lock.
    login
        Whether the routes that MLflow's login adds are among them.
    """
    script = f"import mlflow.server.auth\n{SCRIPT}" if login else SCRIPT
    done = subprocess.run(
        [environment(version=version), "-c", script], capture_output=True, text=True, check=True
    )
    return [(method, path) for method, path in json.loads(done.stdout.splitlines()[-1])]
