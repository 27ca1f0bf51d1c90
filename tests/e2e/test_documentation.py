"""Run the commands of README and docs, page by page, each in a fresh shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.documentation import PAGES, Command, commands_of

from .shell import run_shell

if TYPE_CHECKING:
    from .conftest import Deployment

# Commands that are not run here (regular expressions), and why.
NOT_RUN = {
    r"-i inventory/aws ": "requires an account on AWS",
    r"^aws iam ": "requires an account on AWS",
    r"^export AWS_": "belongs to the commands that require an account on AWS",
    r"^make up$": "has made the deployment; its output is compared below",
    r"^make up DEPLOYMENT=demo$": "tests/life/test_life.py makes a second deployment",
    r"^make down$": "tests/e2e/test_the_end.py runs it",
    r"local_aws stop$": "ends local AWS; tests/e2e/test_the_end.py runs it by make down",
    r"playbooks/destroy\.yml$": "tests/e2e/test_the_end.py runs it, with the answer",
    r"playbooks/upgrade_database\.yml ": "tests/database_upgrade runs it, for many minutes",
    r"playbooks/upgrade_back\.yml ": "tests/upgrade/test_upgrade.py interrupts an upgrade first",
    r"playbooks/(backup|drill|restore\w*)\.yml( |$)": "tests/recovery runs them, for half an hour",
    r"playbooks/import\.yml ": "tests/transfer runs it, into a deployment without runs",
    r"playbooks/export\.yml |^mlflow server --backend": "tests/transfer serves an export",
    r"other-host:": "requires the host of another MLflow",
    r"^read -rs MLFLOW_BACKEND|^python sqlite_copy\.py ": "tests/transfer copies a database",
    r"local_aws allow demo-drill$": "belongs to the drill",
    r"^make up PYTHON=": "tests/e2e/test_second_clone.py deploys with another Python, for minutes",
    r"pytest tests/unit/dashboards$": "make test and make test-full run them",
    r"^make (test|test-full|stacks|lint|site|audit|faults)$": "runs the tests themselves",
    r"^make bench$": "measures for an hour",
    r"tests\.bench\.provisioning$": "measures for many minutes",
    r"^make aws-report$|^tar -xzf aws-report": "tests/unit/transcript makes a report",
    r"aws_transcript replay ": "requires a new local AWS; tests/local_aws replays it",
    r"^make (release|dist)\b": "tests/unit/test_release_script.py makes a release",
    r"mlflow_database_reader=true|^mv \.deploy/demo/backfill/": "tests/provisioning/test_reader.py",
    r"^make lock ": "asks the package index for a release that is not locked yet",
}
# Programs that run until they are interrupted, and the line by which they say that they work.
SERVERS = {r"^prometheus ": "Server is ready to receive web requests"}
# Pages whose commands take more than a minute.
SLOW = {"docs/lifecycle.md", "docs/monitoring.md", "docs/runbook.md", "docs/upgrade.md"}
COMMANDS = {page: commands_of(page) for page in PAGES}
END = "\x1e"


def matches(command: Command, patterns: dict[str, str]) -> str | None:
    """Return the pattern that a command matches."""
    return next((key for key in patterns if re.search(key, command.name)), None)


# README comes last: models/README.md shows what the first run of the grid prints. The decisions are
# not instructions; their commands are on other pages.
RUN = {
    str(page.relative_to(ROOT)): [found for found in COMMANDS[page] if not matches(found, NOT_RUN)]
    for page in sorted(PAGES, key=lambda page: page == ROOT / "README.md")
    if page.parent != ROOT / "docs/decisions"
}


def script_of(commands: list[Command]) -> str:
    """Write the script that runs commands until one fails; a line ends the output of each."""
    lines = []
    for command in commands:
        server = matches(command, SERVERS)
        prefix = "timeout --preserve-status --signal=INT 15 " if server else ""
        lines.append(f"{prefix}{command.text}\nstatus=$?; echo; echo '{END}'$status")
        lines.append("[ $status = 0 ] || exit")
    return "\n".join(lines)


def test_reasons_not_to_run_match_a_command() -> None:
    every = [command for commands in COMMANDS.values() for command in commands]
    for pattern in (*NOT_RUN, *SERVERS):
        assert any(re.search(pattern, command.name) for command in every), f"{pattern} is stale"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else [])
        for page, commands in RUN.items()
        if commands
    ],
)
def test_commands_of_page_succeed_and_print_what_it_shows(
    deployment: Deployment, page: str
) -> None:
    commands = RUN[page]
    # A login has what README says of it, but another local AWS may have the default port.
    done = run_shell(
        script_of(commands),
        deployment.clone,
        # Pages of many playbooks take longer than what hangs may.
        max(900, 200 * len(commands)),
        exported={"LOCAL_AWS_PORT": str(deployment.aws.port)},
    )
    outputs = re.split(rf"^{END}(\d+)\n", done.stdout, flags=re.MULTILINE)
    ran = list(zip(commands, outputs[::2], outputs[1::2], strict=False))

    for command, output, status in ran:
        where = f"{page}:{command.line}: {command.name}"
        assert status == "0", f"{where} fails:\n{output}"
        assert command.prints(output), f"{where} does not print what the page shows:\n{output}"
        server = matches(command, SERVERS)
        assert not server or SERVERS[server] in output, f"{where} is not ready:\n{output}"
    assert len(ran) == len(commands), f"{commands[len(ran)].name} does not end:\n{outputs[-1]}"


def test_make_up_prints_what_the_pages_show(deployment: Deployment) -> None:
    shown = [
        command
        for commands in COMMANDS.values()
        for command in commands
        if command.name == "make up" and command.shown
    ]

    assert shown
    assert [command.line for command in shown if not command.prints(deployment.printed)] == []
