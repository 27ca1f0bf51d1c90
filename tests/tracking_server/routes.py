"""The routes of a release of MLflow, Flask's and FastAPI's."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.tracking_server import VERSION, environment

if TYPE_CHECKING:
    from collections.abc import Iterable

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
# Follows what each route's function calls, within the server's own modules, and prints the routes
# that come to one of the named functions.
CALLERS = """
import json, os, sys, types
os.environ["_MLFLOW_SGI_NAME"] = "gunicorn"
from mlflow.server import app
from mlflow.server.fastapi_app import create_fastapi_app

WANTED = set(json.loads(sys.argv[1]))

def codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)

def reaches(function, seen):
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if not isinstance(function, types.FunctionType) or function in seen:
        return False
    seen.add(function)
    for code in codes(function.__code__):
        for name in code.co_names:
            if name in WANTED:
                return True
            called = function.__globals__.get(name)
            if getattr(called, "__module__", "").startswith("mlflow.server"):
                if reaches(called, seen):
                    return True
    return False

def walk(routes, prefix=""):
    for route in routes:
        if hasattr(route, "original_router"):
            inner = route.include_context.prefix
            yield from walk(route.original_router.routes, prefix + inner)
        elif hasattr(route, "endpoint"):
            yield prefix + route.path, route.endpoint

found = [(r.rule, app.view_functions[r.endpoint]) for r in app.url_map.iter_rules()]
found += walk(create_fastapi_app(app).routes)
assert len(found) > 200, len(found)
print(json.dumps(sorted({path for path, endpoint in found if reaches(endpoint, set())})))
"""


def routes_that_call(functions: Iterable[str], version: str = VERSION) -> set[str]:
    """Return the paths of the routes that come to one of the functions, by their names.

    Calls are followed within the modules of MLflow's server.
    """
    done = subprocess.run(
        [environment(version=version), "-c", CALLERS, json.dumps(sorted(functions))],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


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
