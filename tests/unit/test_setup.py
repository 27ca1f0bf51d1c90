"""The message for a user when the set-up cannot continue."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_clone(directory: Path) -> subprocess.CompletedProcess[str]:
    directory.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [ROOT / "scripts/check-clone.sh", directory], text=True, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    "name",
    [
        "a:b",
        "$HOME",
        "`id`",
        "a*",
        "what?",
        "[b]",
        "{{ x }}",
        "{% x",
        "{# x",
        "a\nb",
        "a\tb",
        "a\x7f",
    ],
)
def test_clone_in_a_path_that_ansible_or_python_change_is_refused(
    tmp_path: Path, name: str
) -> None:
    done = check_clone(tmp_path / name / "mlflow")
    assert done.returncode == 1
    assert done.stderr.startswith("clone: ")
    assert "Move it to another path" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["my clone", "o'neil", '"q"', "100%", "#1", "-x", "a\\b", "{x}", "é"]
)
def test_clone_in_an_odd_path_is_accepted(tmp_path: Path, name: str) -> None:
    done = check_clone(tmp_path / name / "mlflow")
    assert (done.returncode, done.stderr) == (0, "")


def test_clone_that_was_moved_is_refused_with_the_cure(tmp_path: Path) -> None:
    made = tmp_path / "before"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made / ".venv"], check=True)
    assert check_clone(made).returncode == 0
    made.rename(tmp_path / "after")
    done = check_clone(tmp_path / "after")
    assert done.returncode == 1
    assert f"made as {made}/.venv. Remove it (rm -r .venv)" in done.stderr


def test_clone_with_a_link_to_its_environment_is_accepted(tmp_path: Path) -> None:
    made = tmp_path / "first/.venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    (tmp_path / "second").mkdir()
    (tmp_path / "second/.venv").symlink_to(made)
    done = check_clone(tmp_path / "second")
    assert (done.returncode, done.stderr) == (0, "")


def test_clone_that_was_moved_with_both_environments_is_refused_with_the_cure(
    tmp_path: Path,
) -> None:
    made = tmp_path / "before"
    for name in (".venv-python3.11", ".venv-python3.13"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", made / name], check=True)
    (made / ".venv").symlink_to(".venv-python3.13")
    assert check_clone(made).returncode == 0
    made.rename(tmp_path / "after")
    done = check_clone(tmp_path / "after")
    assert done.returncode == 1
    assert "Remove it (rm -r .venv .venv-python3.11 .venv-python3.13)" in done.stderr
    assert done.stderr.count("\n") == 1


def test_system_packages_without_root_and_sudo_names_the_cure() -> None:
    nobody = [str(shutil.which("setpriv")), "--reuid=65534", "--regid=65534", "--clear-groups"]
    with (ROOT / "scripts/system-packages.sh").open() as script:
        done = subprocess.run(
            [*(nobody if os.geteuid() == 0 else []), "/bin/bash", "-s"],
            stdin=script,
            # A path without programs has no sudo.
            env={"PATH": "/usr/bin/nowhere"},
            cwd="/",
            text=True,
            capture_output=True,
            check=False,
        )

    assert done.returncode == 1
    assert "run make as root, or install sudo" in done.stderr


def environment_of_make(**exported: str) -> dict[str, str]:
    """Return what a recipe of the Makefile finds in its environment."""
    done = subprocess.run(
        ["make", "--silent", "--eval=show: ; @env --null", "show"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/"} | exported,
        text=True,
        capture_output=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("exported", "after"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "upper.test"}, "upper.test,127.0.0.1,localhost"),
        ({"no_proxy": "lower.test"}, "lower.test,127.0.0.1,localhost"),
    ],
)
def test_make_extends_the_addresses_without_proxy(
    name: str, exported: dict[str, str], after: str
) -> None:
    assert environment_of_make(**exported)[name] == after


@pytest.mark.parametrize(
    "name",
    [
        "ANSIBLE_BECOME",
        "ANSIBLE_INVENTORY",
        "ANSIBLE_ROLES_PATH",
        "BASH_ENV",
        "CDPATH",
        "GIT_DIR",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONWARNINGS",
        "UV_PYTHON",
        "VIRTUAL_ENV",
    ],
)
def test_make_ignores_variables_that_other_projects_export(name: str) -> None:
    assert name not in environment_of_make(**{name: "/nowhere"})


def test_make_keeps_the_documented_choice_of_a_strategy() -> None:
    assert environment_of_make(ANSIBLE_STRATEGY="linear")["ANSIBLE_STRATEGY"] == "linear"


@pytest.mark.parametrize("locale", ["C", "POSIX", "nosuch", "de_DE.ISO-8859-1"])
def test_make_uses_a_locale_that_ansible_accepts(locale: str) -> None:
    assert environment_of_make(LC_ALL=locale)["LC_ALL"] == "C.UTF-8"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may read, unlike those of pytest."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_command_as_root_keeps_each_setting_of_local_aws(open_folder: Path) -> None:
    settings = set(re.findall("LOCAL_AWS_[A-Z0-9_]+", (ROOT / "local_aws/settings.py").read_text()))
    assert {"LOCAL_AWS_PORT", "LOCAL_AWS_RDS_SECONDS"} <= settings
    sudo = open_folder / "sudo"
    sudo.write_text('#!/bin/sh\necho "$@"\n')
    sudo.chmod(0o755)
    nobody = [str(shutil.which("setpriv")), "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run(
        [*nobody, "bash", "-s", "program", "argument"],
        input=(ROOT / "scripts/as-root.sh").read_text(),
        env={**dict.fromkeys(settings, "1"), "SECRET": "x", "PATH": f"{open_folder}:/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )

    kept, *rest = done.stdout.split()
    assert set(kept.removeprefix("--preserve-env=").split(",")) == settings
    assert rest[0] == "env"
    assert rest[-2:] == ["program", "argument"]


def test_make_help_lists_each_documented_target() -> None:
    rules = re.findall(r"(?m)^([^\s#:=]+):[^=].*## ", (ROOT / "Makefile").read_text())
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "MAKE" not in name},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    # Names with a digit are among them.
    assert any(re.search(r"\d", rule) for rule in rules)
    assert re.findall(r"(?m)^ +make (\S+)", shown) == rules


def test_make_environment_is_not_built_again_once_it_is_complete() -> None:
    """A rule whose target is a file and that does not write it runs each time."""
    rules = re.findall(
        r"(?m)^(\$\(\w+\)/\S+): [^\n]*\n((?:\t[^\n]*\n)+)", (ROOT / "Makefile").read_text()
    )

    assert len(rules) > 3
    assert [target for target, recipe in rules if "\t@touch $@\n" not in recipe] == []


def fake_python(path: Path, version: str) -> Path:
    """Write a program that answers as a Python of this version does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\n"
        f'case "$2" in *executable*) echo "{path}" ;; *version_info*) echo {version} ;; esac\n'
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A clone in `clone`, with Python 3.11 on PATH in `bin` and Python 3.13 in pyenv only."""
    scripts = ("environment-directory.sh", "find-python.sh", "select-environment.sh")
    (tmp_path / "clone/scripts").mkdir(parents=True)
    for name in scripts:
        shutil.copy(ROOT / "scripts" / name, tmp_path / "clone/scripts")
    fake_python(tmp_path / "bin/python3", "3.11")
    fake_python(tmp_path / "pyenv/versions/3.13.0/bin/python3.13", "3.13")
    refuses = tmp_path / "bin/python3.13"
    refuses.write_text("#!/bin/sh\nexit 127\n")
    refuses.chmod(0o755)
    return tmp_path


def script(machine: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [machine / "clone/scripts" / name, *arguments],
        env={"PATH": f"{machine / 'bin'}:/usr/bin:/bin", "PYENV_ROOT": str(machine / "pyenv")},
        text=True,
        capture_output=True,
        check=False,
    )


def test_python_that_only_pyenv_has_is_found(machine: Path) -> None:
    found = script(machine, "find-python.sh", "python3.13").stdout.strip()
    assert found == str(machine / "pyenv/versions/3.13.0/bin/python3.13")


@pytest.mark.parametrize("name", ["python9.9", "/nowhere/python3.13", "true"])
def test_python_that_does_not_answer_is_refused_with_the_cure(machine: Path, name: str) -> None:
    done = script(machine, "find-python.sh", name)
    assert done.returncode == 1
    assert done.stderr.startswith(f"PYTHON: '{name}' is not a valid Python: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("in_use", "chosen", "expected"),
    [
        ("", [], ".venv-python3.11"),
        ("", ["python3.13"], ".venv-python3.13"),
        ("3.11", [], ".venv"),
        ("3.13", [], ".venv"),
        ("3.11", ["python3"], ".venv"),
        ("3.11", ["python3.13"], ".venv-python3.13"),
        ("3.13", ["python3"], ".venv-python3.11"),
        ("3.13", ["python3.13"], ".venv"),
    ],
)
def test_environment_is_the_one_in_use_unless_another_python_is_chosen(
    machine: Path, in_use: str, chosen: list[str], expected: str
) -> None:
    if in_use:
        fake_python(machine / "clone/.venv/bin/python", in_use)
    assert script(machine, "environment-directory.sh", *chosen).stdout.strip() == expected


def test_environment_of_a_python_that_is_gone_is_not_the_one_in_use(machine: Path) -> None:
    (machine / "clone/.venv/bin").mkdir(parents=True)
    (machine / "clone/.venv/bin/python").symlink_to("/nowhere/python3.9")
    assert script(machine, "environment-directory.sh").stdout.strip() == ".venv-python3.11"


def test_environments_of_two_pythons_stay_when_the_link_changes(machine: Path) -> None:
    clone = machine / "clone"
    for version in ("3.11", "3.13", "3.11"):
        fake_python(clone / f".venv-python{version}/bin/python", version)
        assert script(machine, "select-environment.sh", f".venv-python{version}").returncode == 0
        assert (clone / ".venv").readlink() == Path(f".venv-python{version}")
    assert (clone / ".venv-python3.13/bin/python").is_file()


def test_environment_without_a_link_gives_way_to_the_link(machine: Path) -> None:
    fake_python(machine / "clone/.venv/bin/python", "3.11")
    assert script(machine, "select-environment.sh", ".venv-python3.13").returncode == 0
    assert (machine / "clone/.venv").readlink() == Path(".venv-python3.13")
