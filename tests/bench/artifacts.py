"""How fast artifacts go to S3 and back: MLflow's client with presigned addresses, beside boto3.

The client, the server, S3 of local AWS and boto3 share this machine, and each transfer passes the
same S3. Transfers follow each other in turns, and the fastest of each counts: on a machine with
others, the rest is their share. `off` is the same client with a server that passes on all bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from local_aws import profile
from tests.conftest import LocalAws, started
from tests.postgres import running_cluster
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, deployed_server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tracking_server import Server

MIB = 1 << 20
TURNS = int(os.environ.get("BENCH_TURNS", "3"))
LARGE_MIB = int(os.environ.get("BENCH_LARGE_MIB", "1024"))
FILES = int(os.environ.get("BENCH_FILES", "1000"))
FILE_BYTES = 10_000
BUCKET = "bench"
# As MLflow's client has it.
THREADS = min(2 * (os.cpu_count() or 1), 20)
# In a process of its own, which says how long the transfers took without its start.
CLIENT = """
import json, logging, pathlib, sys, time
import mlflow
logging.disable()
client = mlflow.MlflowClient()
run, large, small, found = sys.argv[1:]
seconds = {}
def timed(name, function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    seconds[name] = time.perf_counter() - started
timed("large up", client.log_artifact, run, large)
timed("large down", client.download_artifacts, run, pathlib.Path(large).name, found)
timed("small up", client.log_artifacts, run, small, "small")
timed("small down", client.download_artifacts, run, "small", found)
print(json.dumps(seconds))
"""


@dataclass(frozen=True)
class Files:
    """What is transferred.

    Attributes
    ----------
    large
        One file.
    small
        A folder of files.
    """

    large: Path
    small: Path

    @property
    def names(self) -> list[str]:
        """Names of the small files."""
        return sorted(path.name for path in self.small.iterdir())


def write(folder: Path) -> Files:
    """Write the files, whose pieces differ."""
    files = Files(folder / "large.bin", folder / "small")
    block = os.urandom(MIB)
    with files.large.open("wb") as file:
        for number in range(LARGE_MIB):
            file.write(number.to_bytes(8) + block[8:])
    files.small.mkdir()
    for number in range(FILES):
        (files.small / f"{number}.bin").write_bytes(number.to_bytes(8) + block[8:FILE_BYTES])
    return files


def client_of(aws: LocalAws) -> Any:
    """Return a client of boto3 with its defaults, and a connection for each thread."""
    user = profile.ADMINISTRATOR
    return boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"https://127.0.0.1:{aws.port}",
        verify=str(aws.directory / "ca.pem"),
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
        config=Config(max_pool_connections=max(THREADS, 10)),
    )


def bare(s3: Any, files: Files, folder: Path, threads: int) -> dict[str, float]:
    """Transfer everything by boto3; return the seconds that each part took."""
    seconds: dict[str, float] = {}

    def timed(name: str, function: Callable[[], object]) -> None:
        started = time.perf_counter()
        function()
        seconds[name] = time.perf_counter() - started

    with ThreadPoolExecutor(threads) as pool:
        timed("large up", lambda: s3.upload_file(str(files.large), BUCKET, "bare/large.bin"))
        timed(
            "large down",
            lambda: s3.download_file(BUCKET, "bare/large.bin", str(folder / "large.bin")),
        )
        timed(
            "small up",
            lambda: list(
                pool.map(
                    lambda name: s3.upload_file(str(files.small / name), BUCKET, f"bare/{name}"),
                    files.names,
                )
            ),
        )
        timed(
            "small down",
            lambda: list(
                pool.map(
                    lambda name: s3.download_file(BUCKET, f"bare/{name}", str(folder / name)),
                    files.names,
                )
            ),
        )
    return seconds


def with_mlflow(
    aws: LocalAws, server: Server, files: Files, folder: Path, plugin: str = "true"
) -> dict[str, float]:
    """Transfer everything by MLflow's client; return the seconds that each part took."""
    made = server.session().post(
        f"{server.url}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}
    )
    run = made.json()["run"]["info"]["run_id"]
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, run, str(files.large), str(files.small), str(folder)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "1",
            # As the deployment's mlflow.env.
            "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(8 * MIB),
            "MLFLOW_EC2_PARALLEL_UPLOADS": plugin,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "REQUESTS_CA_BUNDLE": str(aws.directory / "ca.pem"),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for sent, found in (
        (files.large, folder / "large.bin"),
        *((files.small / name, folder / "small" / name) for name in files.names),
    ):
        if digest(sent) != digest(found):
            raise RuntimeError(f"{found} is not {sent}")
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


def digest(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def serving(aws: LocalAws, mode: str, folder: Path) -> Iterator[Server]:
    """Run a tracking server of a mode."""
    folder.mkdir()
    with running_cluster() as cluster:
        cluster.execute("CREATE DATABASE bench")
        with deployed_server(
            cluster,
            "bench",
            folder,
            {
                "AWS_ENDPOINT_URL": f"https://127.0.0.1:{aws.port}",
                "AWS_CA_BUNDLE": str(aws.directory / "ca.pem"),
                "AWS_CONFIG_FILE": str(aws.directory / "config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(aws.directory / "config"),
            },
            mlflow_artifacts_destination=f"s3://{BUCKET}/artifacts",
            mlflow_aws_region="us-east-1",
            mlflow_artifacts_presigned=mode,
        ) as server:
            yield server


def main() -> None:
    """Print how fast each is."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        aws = LocalAws(folder / "aws", free_port())
        stack.enter_context(contextmanager(started)(aws))
        files = write(folder)
        s3 = client_of(aws)
        s3.create_bucket(Bucket=BUCKET)
        servers = {
            mode: stack.enter_context(serving(aws, mode, folder / f"server-{mode}"))
            for mode in ("only", "off")
        }
        ways: dict[str, Callable[[Path], dict[str, float]]] = {
            "boto3": lambda at: bare(s3, files, at, 1),
            f"boto3, {THREADS} threads": lambda at: bare(s3, files, at, THREADS),
            "MLflow, presigned": lambda at: with_mlflow(aws, servers["only"], files, at, "false"),
            "with our plugin": lambda at: with_mlflow(aws, servers["only"], files, at),
            "MLflow, through the server": lambda at: with_mlflow(aws, servers["off"], files, at),
        }
        best: dict[str, dict[str, float]] = {}
        for _ in range(TURNS):
            for name, way in ways.items():
                with tempfile.TemporaryDirectory(dir=folder) as found:
                    seconds = way(Path(found))
                kept = best.setdefault(name, seconds)
                best[name] = {part: min(kept[part], value) for part, value in seconds.items()}
    report(best)


def report(best: dict[str, dict[str, float]]) -> None:
    """Print the table; the ratio is that to boto3 without threads for files."""
    titles = {
        "large up": f"{LARGE_MIB} MiB up",
        "large down": f"{LARGE_MIB} MiB down",
        "small up": f"{FILES} files up",
        "small down": f"{FILES} files down",
    }
    print(f"{'':28}" + "".join(f"{title:>24}" for title in titles.values()))
    floor = best["boto3"]
    for name, seconds in best.items():
        cells = [f"{seconds[part]:.2f} s ({floor[part] / seconds[part]:.2f})" for part in titles]
        print(f"{name:28}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    main()
