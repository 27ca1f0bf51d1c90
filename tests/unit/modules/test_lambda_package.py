from __future__ import annotations

import base64
import hashlib
import importlib
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import RunModule, RunTasks

MODULE = "lambda_package"
RECORD = "native-1.0.dist-info/RECORD"


def build_wheel(folder: Path, platform: str) -> str:
    """Build a wheel of CPython 3.13 for a platform; return its line in a lock's hashes."""
    path = folder / f"native-1.0-cp313-cp313-{platform}.whl"
    members = {
        "native/__init__.py": "",
        "native/__init__.pyi": "",
        f"native/_speed.cpython-313-{platform.removeprefix('manylinux_2_17_')}.so": platform,
        "native-1.0.data/scripts/native": "#!python\n",
        "native-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: native\nVersion: 1.0\n",
        "native-1.0.dist-info/WHEEL": (
            f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp313-cp313-{platform}\n"
        ),
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in members.items():
            wheel.writestr(name, text)
        wheel.writestr(RECORD, "".join(f"{name},,\n" for name in (*members, RECORD)))
    return f"    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a lock of one package that exists only in a folder of the test."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    platforms = ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64")
    hashes = " \\\n".join(build_wheel(wheels, platform) for platform in platforms)
    path = tmp_path / "lock.txt"
    path.write_text(f"native==1.0 \\\n{hashes}\n")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return path


@pytest.fixture
def src(tmp_path: Path) -> Path:
    path = tmp_path / "src"
    (path / "tests").mkdir(parents=True)
    (path / "__pycache__").mkdir()
    (path / "store").mkdir()
    (path / "handler.py").write_text("def handle(event, context):\n    return {}\n")
    (path / "store" / "__init__.py").write_text("")
    (path / "store" / "queries.sql").write_text("SELECT 1\n")
    (path / "tests" / "test_handler.py").write_text("")
    (path / "__pycache__" / "handler.cpython-311.pyc").write_bytes(b"old")
    (path / ".env").write_text("secret")
    return path


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "function.zip"


@pytest.fixture
def arguments(src: Path, lock: Path, dest: Path) -> dict[str, Any]:
    return {"src": str(src), "lock": str(lock), "dest": str(dest)}


def names(path: Path) -> list[str]:
    """Return what is in the zip, beside bytecode, which not every machine can make."""
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if "__pycache__" not in name]


def test_zip_holds_sources_and_packages_of_the_platform(
    run_module: RunModule, src: Path, lock: Path, dest: Path
) -> None:
    made = run_module(MODULE, src=str(src), lock=str(lock), dest=str(dest))
    assert made["changed"]
    assert names(dest) == [
        "handler.py",
        "native-1.0.dist-info/METADATA",
        "native-1.0.dist-info/WHEEL",
        "native/__init__.py",
        "native/_speed.cpython-313-x86_64.so",
        "store/__init__.py",
        "store/queries.sql",
    ]


def test_architecture_chooses_the_wheel(
    run_module: RunModule, src: Path, lock: Path, dest: Path
) -> None:
    run_module(MODULE, src=str(src), lock=str(lock), dest=str(dest), architecture="arm64")
    assert "native/_speed.cpython-313-aarch64.so" in names(dest)


def test_result_states_hash_and_sizes_as_lambda_does(
    run_module: RunModule, src: Path, dest: Path
) -> None:
    made = run_module(MODULE, src=str(src), dest=str(dest))
    digest = hashlib.sha256(dest.read_bytes()).digest()
    assert made["sha256"] == base64.b64encode(digest).decode()
    assert made["size"] == dest.stat().st_size
    with zipfile.ZipFile(dest) as archive:
        total = sum(len(archive.read(name)) for name in archive.namelist())
    assert made["uncompressed_size"] == total
    assert made["path"] == str(dest)


def test_same_inputs_give_the_same_bytes_elsewhere_and_later(
    run_module: RunModule, src: Path, lock: Path, dest: Path, tmp_path: Path
) -> None:
    run_module(MODULE, src=str(src), lock=str(lock), dest=str(dest))
    other = tmp_path / "a" / "deeper" / "place"
    shutil.copytree(src, other)
    for path in other.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    (other / "store" / "queries.sql").chmod(0o600)
    mask = os.umask(0o077)
    try:
        run_module(MODULE, src=str(other), lock=str(lock), dest=str(tmp_path / "b.zip"))
    finally:
        os.umask(mask)
    assert (tmp_path / "b.zip").read_bytes() == dest.read_bytes()


def test_second_run_needs_no_uv(run_module: RunModule, src: Path, lock: Path, dest: Path) -> None:
    params: dict[str, Any] = {"src": str(src), "lock": str(lock), "dest": str(dest)}
    first = run_module(MODULE, **params)
    modified = dest.stat().st_mtime_ns
    second = run_module(MODULE, **params, uv="/nonexistent/uv")
    assert not second["changed"]
    assert second["sha256"] == first["sha256"]
    assert dest.stat().st_mtime_ns == modified


def test_changed_source_lock_or_target_rebuilds_the_zip(
    run_module: RunModule, src: Path, lock: Path, dest: Path
) -> None:
    params: dict[str, Any] = {"src": str(src), "lock": str(lock), "dest": str(dest)}
    shas = [run_module(MODULE, **params)["sha256"]]
    (src / "handler.py").write_text("def handle(event, context):\n    return None\n")
    changed = run_module(MODULE, **params)
    assert changed["diff"]["before"]["sources"] != changed["diff"]["after"]["sources"]
    shas.append(changed["sha256"])
    (src / "handler.py").chmod(0o755)
    shas.append(run_module(MODULE, **params)["sha256"])
    shas.append(run_module(MODULE, **params, architecture="arm64")["sha256"])
    assert len(set(shas)) == 4


def test_zip_changed_by_hand_is_rebuilt(run_module: RunModule, src: Path, dest: Path) -> None:
    first = run_module(MODULE, src=str(src), dest=str(dest))
    dest.write_bytes(b"broken")
    repaired = run_module(MODULE, src=str(src), dest=str(dest))
    assert repaired["changed"]
    assert repaired["sha256"] == first["sha256"]


@pytest.mark.parametrize("note", [b"", b"[]", b'{"sha256": 1}'])
def test_lost_fingerprint_is_not_a_change(
    run_module: RunModule, src: Path, dest: Path, note: bytes
) -> None:
    run_module(MODULE, src=str(src), dest=str(dest))
    dest.with_name("function.zip.json").write_bytes(note)
    assert not run_module(MODULE, src=str(src), dest=str(dest))["changed"]


def test_modes_in_the_zip_are_fixed(run_module: RunModule, src: Path, dest: Path) -> None:
    (src / "handler.py").chmod(0o700)
    (src / "store" / "queries.sql").chmod(0o640)
    run_module(MODULE, src=str(src), dest=str(dest))
    with zipfile.ZipFile(dest) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes["handler.py"] == stat.S_IFREG | 0o755
    assert modes["store/queries.sql"] == stat.S_IFREG | 0o644


def test_check_mode_builds_nothing(run_module: RunModule, src: Path, dest: Path) -> None:
    params: dict[str, Any] = {"src": str(src), "dest": str(dest)}
    assert run_module(MODULE, check=True, **params)["changed"]
    assert not dest.exists()
    run_module(MODULE, **params)
    assert not run_module(MODULE, check=True, **params)["changed"]


def test_exclude_takes_names_and_paths(run_module: RunModule, src: Path, dest: Path) -> None:
    run_module(MODULE, src=str(src), dest=str(dest), exclude=["store/*.sql", "tests", ".*"])
    assert names(dest) == ["handler.py", "store/__init__.py"]


def test_extra_file_is_in_the_zip_and_in_the_fingerprint(
    run_module: RunModule, src: Path, dest: Path, tmp_path: Path
) -> None:
    certificate = tmp_path / "downloaded.pem"
    certificate.write_text("first")
    certificate.chmod(0o600)
    params: dict[str, Any] = {
        "src": str(src),
        "dest": str(dest),
        "extra_files": {"certificates/ca.pem": str(certificate)},
    }
    assert run_module(MODULE, **params)["changed"]
    with zipfile.ZipFile(dest) as archive:
        assert archive.read("certificates/ca.pem") == b"first"
        assert archive.getinfo("certificates/ca.pem").external_attr >> 16 == stat.S_IFREG | 0o644
    assert not run_module(MODULE, **params)["changed"]
    certificate.write_text("second")
    assert run_module(MODULE, check=True, **params)["changed"]
    assert run_module(MODULE, **params)["changed"]


def test_source_that_hides_a_package_is_refused(
    run_module: RunModule, src: Path, lock: Path, dest: Path
) -> None:
    (src / "native").mkdir()
    (src / "native" / "__init__.py").write_text("")
    failed = run_module(MODULE, fails=True, src=str(src), lock=str(lock), dest=str(dest))
    assert "rename it" in failed["msg"]
    assert not dest.exists()


def test_package_without_a_matching_hash_is_refused(
    run_module: RunModule, src: Path, lock: Path, dest: Path
) -> None:
    lock.write_text(f"native==1.0 --hash=sha256:{'0' * 64}\n")
    failed = run_module(MODULE, fails=True, src=str(src), lock=str(lock), dest=str(dest))
    assert "uv could not install" in failed["msg"]
    assert "sha256:0000" in failed["msg"]
    assert not dest.exists()


@pytest.mark.parametrize(
    ("params", "cure"),
    [
        ({"src": "/nonexistent"}, "is not a directory"),
        ({"lock": "/nonexistent"}, "make lock"),
        ({"dest": "/nonexistent/function.zip"}, "create it first"),
        ({"python_version": "3.13.1"}, "as '3.13'"),
        ({"exclude": ["*"]}, "nothing is left"),
        ({"extra_files": {"ca.pem": "/nonexistent"}}, "create it first"),
        ({"extra_files": {"../ca.pem": "/etc/hostname"}}, "give a relative path"),
        ({"extra_files": {"/ca.pem": "/etc/hostname"}}, "give a relative path"),
        ({"extra_files": {"handler.py": "/etc/hostname"}}, "give another name"),
        ({"uv": "/nonexistent/uv"}, "name the uv executable"),
        ({"python": "/nonexistent/python"}, "is not Python"),
        ({"python": sys.executable, "python_version": "3.99"}, "is not Python 3.99"),
    ],
)
def test_bad_parameter_is_named_with_its_cure(
    run_module: RunModule, arguments: dict[str, Any], params: dict[str, Any], cure: str
) -> None:
    assert cure in run_module(MODULE, fails=True, **{**arguments, **params})["msg"]


def test_link_to_a_directory_is_refused(
    run_module: RunModule, src: Path, dest: Path, tmp_path: Path
) -> None:
    (src / "linked").symlink_to(tmp_path)
    failed = run_module(MODULE, fails=True, src=str(src), dest=str(dest))
    assert "exclude or copy it" in failed["msg"]


def test_playbook_finds_uv_beside_its_python(
    run_tasks: RunTasks, src: Path, lock: Path, dest: Path
) -> None:
    assert (Path(sys.executable).parent / "uv").exists()
    task = {f"mlflow_ec2.aws.{MODULE}": {"src": str(src), "lock": str(lock), "dest": str(dest)}}
    results, _ = run_tasks({**task, "check_mode": True}, task, task)
    assert [result["changed"] for result in results] == [True, True, False]
    assert results[1]["sha256"] == results[2]["sha256"]


def test_bytecode_of_the_runtimes_version_is_in_the_zip(
    run_module: RunModule, tmp_path: Path, src: Path, dest: Path
) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"

    run_module(MODULE, src=str(src), dest=str(dest), python_version=here)

    with zipfile.ZipFile(dest) as archive:
        archive.extractall(tmp_path / "task")
        compiled = [name for name in archive.namelist() if name.endswith(".pyc")]
    tag = sys.implementation.cache_tag
    assert compiled == [f"__pycache__/handler.{tag}.pyc", f"store/__pycache__/__init__.{tag}.pyc"]
    # It names the path of the source in Lambda, and is not compared with it.
    assert b"/var/task/handler.py" in (tmp_path / "task" / compiled[0]).read_bytes()
    (tmp_path / "task/handler.py").write_text("raise SystemExit('the source was read')\n")
    command = [sys.executable, "-c", "import handler; print(handler.handle({}, None))"]
    done = subprocess.run(
        command, cwd=tmp_path / "task", capture_output=True, text=True, check=True
    )
    assert done.stdout == "{}\n"


def test_bytecode_is_the_same_later(run_module: RunModule, src: Path, dest: Path) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    first = run_module(MODULE, src=str(src), dest=str(dest), python_version=here)
    os.utime(src / "handler.py", (1, 1))
    dest.unlink()

    second = run_module(MODULE, src=str(src), dest=str(dest), python_version=here)

    assert second["sha256"] == first["sha256"]


def test_source_with_a_syntax_error_is_refused(
    run_module: RunModule, src: Path, dest: Path
) -> None:
    (src / "handler.py").write_text("def handle(:\n")

    here = f"{sys.version_info.major}.{sys.version_info.minor}"

    failed = run_module(MODULE, src=str(src), dest=str(dest), python_version=here, fails=True)

    assert "could not compile" in failed["msg"]
    assert not dest.exists()


def test_inputs_digest_when_extra_files_change_is_the_same(
    run_module: RunModule, src: Path, dest: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "rds-ca.pem"
    params: dict[str, Any] = {"src": str(src), "dest": str(dest)}
    made = []
    for content in ("old", "old and new"):
        bundle.write_text(content)
        made.append(run_module(MODULE, **params, extra_files={"rds-ca.pem": str(bundle)}))
    renamed = run_module(MODULE, **params, extra_files={"ca.pem": str(bundle)})
    (src / "handler.py").write_text("def handle(event, context):\n    return None\n")
    changed = run_module(MODULE, **params, extra_files={"rds-ca.pem": str(bundle)})

    assert made[0]["inputs_sha256"] == made[1]["inputs_sha256"]
    assert made[0]["extra_files_sha256"] != made[1]["extra_files_sha256"]
    assert made[1]["extra_files_sha256"] == changed["extra_files_sha256"]
    assert len({one["inputs_sha256"] for one in (made[0], renamed, changed)}) == 3


def test_inputs_are_the_same_with_and_without_an_interpreter_of_the_runtime(
    run_module: RunModule, src: Path, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    params: dict[str, Any] = {"src": str(src), "dest": str(dest), "python_version": here}
    compiled = run_module(MODULE, **params)
    module = importlib.import_module(f"ansible_collections.mlflow_ec2.aws.plugins.modules.{MODULE}")
    monkeypatch.setattr(module.Package, "_find_python", lambda self: None)  # noqa: ARG005
    plain = run_module(MODULE, **params)

    assert compiled["sha256"] != plain["sha256"]
    assert compiled["inputs_sha256"] == plain["inputs_sha256"]
