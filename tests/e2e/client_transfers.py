"""What a user of MLflow transfers, with the client of any release and its default settings.

python client_transfers.py FOLDER LARGE_BYTES FILES
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel  # type: ignore[attr-defined]

PIECE = 1 << 20


class Doubler(PythonModel):
    """The smallest model."""

    def predict(self, context: Any, model_input: list[float], params: Any = None) -> list[float]:  # noqa: ARG002
        """Double each number."""
        return [2 * value for value in model_input]


def checksum(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, size: int) -> None:
    """Write a file whose pieces differ."""
    block = os.urandom(PIECE + 1)
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
        file.write(block[: size % len(block)])


def main(folder: Path, large_bytes: int, files: int) -> None:
    """Send everything and fetch it again."""
    sent, found = folder / "sent", folder / "found"
    many = sent / "many"
    many.mkdir(parents=True)
    found.mkdir()
    write(sent / "small.bin", 1000)
    write(sent / "large.bin", large_bytes)
    for number in range(files):
        write(many / f"{number}.bin", 100)

    started = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {what}", flush=True)

    mlflow.set_experiment("transfers")
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(sent / "small.bin"))
        mlflow.log_artifact(str(sent / "large.bin"))
        say("sent two files")
        mlflow.log_artifacts(str(many), "many")
        say(f"sent {files} files")
        model = mlflow.pyfunc.log_model(
            name="model", python_model=Doubler(), pip_requirements=["mlflow"]
        )
        say("sent a model")
    client, run_id = mlflow.MlflowClient(), run.info.run_id
    small = Path(client.download_artifacts(run_id, "small.bin", str(found)))
    large = Path(
        mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path="large.bin", dst_path=str(found)
        )
    )
    say("fetched two files")
    folder_found = Path(client.download_artifacts(run_id, "many", str(found)))
    say(f"fetched {files} files")
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    say("fetched a model")
    command = [sys.executable, "-m", "mlflow", "artifacts", "download"]
    by_command = found / "by-command"
    subprocess.run(
        [*command, "--run-id", run_id, "--artifact-path", "small.bin", "--dst-path", by_command],
        check=True,
    )
    say("fetched a file by the command line")

    assert loaded.predict([1.0, 2.0]) == [2.0, 4.0]
    for name, path in (("small.bin", small), ("large.bin", large)):
        assert checksum(path) == checksum(sent / name), name
    assert checksum(by_command / "small.bin") == checksum(small)
    assert {path.name for path in folder_found.iterdir()} == {f"{n}.bin" for n in range(files)}
    for path in folder_found.iterdir():
        assert checksum(path) == checksum(many / path.name), path.name
    print(f"RUN {run_id} {checksum(sent / 'large.bin')}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
