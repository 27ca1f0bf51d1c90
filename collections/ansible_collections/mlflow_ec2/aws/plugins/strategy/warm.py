# SPDX-License-Identifier: Apache-2.0
"""Ansible strategy: linear, with interpreters that stay warm from task to task.

A task of plain Ansible starts a Python that imports boto3 again, which takes longer than what it
then asks of AWS. Mitogen keeps one interpreter for each host and user and hands the tasks to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import inspect
import os
import signal
import sys
import tempfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible.plugins.strategy.linear import StrategyModule as Linear
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import (
    compiled_templates,
    controller_tasks,
    found_plugins,
    garbage,
    loaded_files,
    plain_texts,
)

try:
    import ansible_mitogen.loaders  # noqa: F401 -- Mitogen requires to be imported before its strategy
    import mitogen
    import mitogen.master
    import mitogen.minify
    from ansible_mitogen import module_finder, planner, transport_config
    from ansible_mitogen.strategy import StrategyMixin

    _BASES: tuple[type, ...] = (StrategyMixin, Linear)
except ImportError:  # An Ansible that is not the project's: the same, but slower.
    _BASES = (Linear,)

DOCUMENTATION = """
name: warm
short_description: Linear, with interpreters that stay warm from task to task
description:
  - Executes tasks in the order and manner of P(ansible.builtin.linear#strategy), in interpreters
    of Mitogen if it is installed.
  - Executes tasks without a worker of their own, with the releases of ansible-core for which this
    was made. Those that only look at variables, such as P(ansible.builtin.assert#action), and those
    that are skipped need none in any play; others need none in a play with one host.
  - With the same releases, compiles each template and condition once, searches once for each
    plug-in, copies parsed files without their texts, and does not render texts without a template.
  - On Linux, workers end with the process that started them, even if that one is killed.
"""

# From <sys/prctl.h>
_PR_SET_PDEATHSIG = 1
# Mitogen's processes meet at a socket there, whose whole path may have 107 bytes.
_LONGEST_TEMPORARY_DIRECTORY = 80
# The releases of Mitogen for which the replacements below were made.
_REPLACED_VERSIONS = {(0, 3, 54)}
# Of the function that splits ansible_python_interpreter.
_SPLIT_PARAMETERS = ["s", "candidates", "task_vars", "action", "rediscover_python"]


class StrategyModule(*_BASES):  # type: ignore[misc]  # mypy reads no computed bases
    """Linear, with Mitogen underneath where it is installed."""

    _workers_are_bound = False

    def run(self, *arguments: Any, **options: Any) -> Any:
        """Run a play."""
        if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_TEMPORARY_DIRECTORY:
            tempfile.tempdir = "/tmp"  # noqa: S108  as Python itself has it without TMPDIR
        loaded_files.keep()
        compiled_templates.keep()
        plain_texts.keep()
        found_plugins.keep()
        garbage.collect_less()
        garbage.keep_existing()
        try:
            return super().run(*arguments, **options)
        finally:
            controller_tasks.disconnect(self)

    def _queue_task(self, host: Any, task: Any, task_vars: Any, play_context: Any) -> None:
        if controller_tasks.execute(self, host, task, task_vars, play_context):
            return
        controller_tasks.disconnect(self)
        # By the first task Mitogen has started its own processes, which end by themselves.
        if not StrategyModule._workers_are_bound and sys.platform == "linux":
            StrategyModule._workers_are_bound = True
            _bind_workers()
        super()._queue_task(host, task, task_vars, play_context)


def replace_interpreter_split() -> bool:
    """Make Mitogen read an interpreter's path as one word, blanks included, as Ansible does.

    Return whether it was replaced: not with a Mitogen for which this was not made, which splits
    paths at blanks. ``ANSIBLE_STRATEGY=linear`` does without Mitogen.
    """
    split = transport_config.parse_python_path
    parameters = list(inspect.signature(split).parameters)
    if mitogen.__version__ not in _REPLACED_VERSIONS or parameters != _SPLIT_PARAMETERS:
        return False

    @functools.wraps(split)
    def interpreter(s: str | None, *arguments: Any, **options: Any) -> Any:
        if s and Path(s).is_absolute() and Path(s).is_file():
            return [s]
        return split(s, *arguments, **options)

    transport_config.parse_python_path = interpreter
    return True


def replace_collection_search() -> bool:
    """Let Mitogen look for installed collections without asking for their versions.

    Ansible's own search finds an internal one as well, and ansible-core 2.21 warns at each run
    that it has no version. Return whether it was replaced: not with another Mitogen.
    """
    if mitogen.__version__ not in _REPLACED_VERSIONS or not hasattr(planner, "_load_collections"):
        return False
    planner._load_collections = _load_collections  # noqa: SLF001 -- Mitogen has no option
    return True


def replace_compilation() -> bool:
    """Let Mitogen take the code of files from Python's own cache where it searches for imports.

    It compiles the files of ansible.module_utils again for each module that imports them, and each
    file that it sends to a host. Return whether it was replaced: not with another Mitogen.
    """
    if mitogen.__version__ not in _REPLACED_VERSIONS:
        return False
    # They shadow the built-in functions in these modules.
    module_finder.open = _open_source
    module_finder.compile = mitogen.master.compile = _compile_source
    return True


def replace_minification() -> bool:
    """Let Mitogen send its own files with their comments.

    To take them out lasts longer than to send them. Return whether it was replaced: not with
    another Mitogen.
    """
    minify = mitogen.minify
    parameters = list(inspect.signature(minify.minimize_source).parameters)
    if mitogen.__version__ not in _REPLACED_VERSIONS or parameters != ["source"]:
        return False
    minify.minimize_source = _text_of
    return True


def _text_of(source: Any) -> Any:
    return mitogen.core.to_text(source)


class _Source(bytes):
    """What a file of Python has, and the path of that file."""

    path: str


def _open_source(path: str, mode: str = "r") -> Any:
    if mode != "rb":
        return Path(path).open(mode)
    source = _Source(Path(path).read_bytes())
    source.path = str(path)
    return contextlib.nullcontext(SimpleNamespace(read=lambda: source))


def _compile_source(source: Any, path: str, mode: str) -> Any:
    """Compile as the built-in function does, or return the same code without that."""
    file = Path(source.path if isinstance(source, _Source) else path)
    known = isinstance(source, _Source) or (
        isinstance(source, bytes) and file.is_file() and file.read_bytes() == source
    )
    return _code_of(str(file)) if known and file.suffix == ".py" else compile(source, path, mode)


@functools.cache
def _code_of(path: str) -> Any:
    return _CodeReader(_CodeReader.__name__, path).get_code(_CodeReader.__name__)


class _CodeReader(SourceFileLoader):
    """Reads code from Python's cache if it is there and new enough, and never writes it."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0) -> None:
        """Write nothing: a file that is searched is not imported here."""


def _load_collections(invocation: Any) -> None:
    """Add the folders of all installed collections to the path of a module."""
    import ansible_collections  # noqa: PLC0415  Ansible makes this package when it starts

    found = _collections(tuple(ansible_collections.__path__))
    invocation._extra_sys_paths.update(found)  # noqa: SLF001  as Mitogen does


@functools.cache
def _collections(roots: tuple[str, ...]) -> frozenset[str]:
    """Return the folders of the collections below some folders, which stay the same in a run."""
    return frozenset(
        str(path.parent)
        for root in roots
        for name in ("MANIFEST.json", "galaxy.yml")
        for path in Path(root).glob(f"*/*/{name}")
    )


def _bind_workers() -> None:
    """Make later forks of this process end with it.

    Ansible makes each worker the leader of a session, so it outlives a group that is killed; and
    who waits for Mitogen's answer then waits without end.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    main = os.getpid()

    def end_with_main() -> None:
        # What the forked ones fork in their turn may outlive the thread that did.
        if os.getppid() == main:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    os.register_at_fork(after_in_child=end_with_main)


if len(_BASES) > 1:
    replace_interpreter_split()
    replace_collection_search()
    replace_compilation()
    replace_minification()
