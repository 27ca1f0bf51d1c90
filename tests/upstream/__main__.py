"""Run MLflow's own tests with stock MLflow and with our server, and compare their outcomes.

    python -m tests.upstream FOLDER

MLflow's package does not contain its tests, and they are not ours to copy: FOLDER is a tree of
MLflow's source. It fails if a test passes with stock MLflow only and `differences.yml` has no
reason for it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from tests.conftest import ROOT
from tests.upstream.comparison import Comparison, compare, read
from tests.upstream.servers import KINDS

FILES = (
    "tests/tracking/test_rest_tracking.py",
    "tests/tracking/test_model_registry.py",
    "tests/tracking/test_mlflow_artifacts.py",
    "tests/tracking/test_client_webhooks.py",
    "tests/store/model_registry/test_rest_store_webhooks.py",
    "tests/webhooks/test_e2e.py",
)
HERE = Path(__file__).parent
REASONS: dict[str, str] = yaml.safe_load((HERE / "differences.yml").read_text())


def main() -> int:
    """Return 1 if a test passes with stock MLflow only, without a known reason."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a tree of MLflow's source")
    parser.add_argument("files", nargs="*", default=FILES, help="files of tests below it")
    parser.add_argument("--server", choices=KINDS[1:], default="ours", help="what is compared")
    parser.add_argument("--only", default="", help="names of tests, as in pytest's option -k")
    options = parser.parse_args()
    source: Path = options.source.resolve()
    missing = [file for file in options.files if not (source / file).is_file()]
    if missing:
        parser.error(
            f"source: {source} is not a tree of MLflow's source: it lacks {', '.join(missing)}. "
            "Take it from MLflow's repository, at the tag of a release."
        )
    unexplained = []
    for file in options.files:
        print(f"==> {file}", flush=True)
        stock, other = (
            outcomes(source, file, kind, options.only) for kind in ("stock", options.server)
        )
        found = compare(stock, other, REASONS)
        report(found)
        unexplained += found.unlisted
    return 1 if unexplained else 0


def outcomes(source: Path, file: str, kind: str, only: str) -> dict[str, str]:
    """Run a file of tests with a kind of server; return the outcome of each test."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        # MLflow's tests send no login.
        login = folder / "netrc"
        login.write_text(netrc())
        login.chmod(0o600)
        lines = folder / "outcomes"
        lines.touch()
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", file, "-p", "upstream_servers"),
                *("-c", os.devnull, "--rootdir", source, "-p", "no:cacheprovider"),
                *("--quiet", "--tb=line", "--no-header", "--disable-warnings", "-k", only),
                *("-o", "asyncio_mode=auto"),
            ],
            cwd=source,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")},
                "PYTHONPATH": f"{source}:{HERE / 'plugin'}",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "NETRC": str(login),
                "MLFLOW_UPSTREAM_KIND": kind,
                "MLFLOW_UPSTREAM_ROOT": str(ROOT),
                "MLFLOW_UPSTREAM_OUTCOMES": str(lines),
            },
            check=False,
        )
        return read(lines)


def netrc() -> str:
    """Return what logs requests to loopback in as the administrator."""
    from tests.tracking_server import ADMIN, ADMIN_PASSWORD  # noqa: PLC0415  it imports much

    return "".join(
        f"machine {host} login {ADMIN} password {ADMIN_PASSWORD}\n"
        for host in ("127.0.0.1", "localhost")
    )


def report(found: Comparison) -> None:
    """Print what became of the tests of a file."""
    print(
        f"passed with both {len(found.both)}, stock only {len(found.stock_only)} "
        f"({len(found.listed)} with a reason), ours only {len(found.ours_only)}, "
        f"neither {len(found.neither)}"
    )
    for test in found.unlisted:
        print(f"  stock only: {test}")
    for test in found.listed:
        print(f"  stock only: {test}: {REASONS[test]}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
