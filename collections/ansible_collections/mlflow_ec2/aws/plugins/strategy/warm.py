# SPDX-License-Identifier: Apache-2.0
"""Ansible strategy: linear, with interpreters that stay warm from task to task.

A task of plain Ansible starts a Python that imports boto3 again, which takes longer than what it
then asks of AWS. Mitogen keeps one interpreter for each host and user and hands the tasks to it.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.strategy.linear import StrategyModule as Linear
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import (
    compiled_templates,
    controller_tasks,
)

try:
    import ansible_mitogen.loaders  # noqa: F401 -- Mitogen requires to be imported before its strategy
    import mitogen
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
  - Compiles each template once, with the same releases.
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
# Of the loader's method, in ansible-core 2.19 to 2.21.
_LOAD_PARAMETERS = ["file_name", "cache", "unsafe", "json_only", "trusted_as_template"]


class StrategyModule(*_BASES):  # type: ignore[misc]  # mypy reads no computed bases
    """Linear, with Mitogen underneath where it is installed."""

    _workers_are_bound = False

    def run(self, *arguments: Any, **options: Any) -> Any:
        """Run a play."""
        if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_TEMPORARY_DIRECTORY:
            tempfile.tempdir = "/tmp"  # noqa: S108  as Python itself has it without TMPDIR
        keep_variable_files(self._loader)
        compiled_templates.keep()
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


def keep_variable_files(loader: Any) -> bool:
    """Let a loader parse each file of ``vars_files`` once, as long as the file does not change.

    Ansible parses them again for each task of their play. Return whether the loader's method was
    replaced: not with one for which this was not made. ``ANSIBLE_STRATEGY=linear`` does without.
    """
    load = loader.load_from_file
    if list(inspect.signature(load).parameters) != _LOAD_PARAMETERS:
        return False
    if hasattr(load, "__wrapped__"):  # by an earlier play
        return True
    kept: dict[Any, Any] = {}

    @functools.wraps(load)
    def load_from_file(
        file_name: str,
        cache: str = "all",
        unsafe: bool = False,  # noqa: FBT001, FBT002  as in the original
        **options: Any,
    ) -> Any:
        # Only the files of `vars_files` are asked for in this way, and nobody changes their data.
        path = Path(loader.path_dwim(file_name))
        if cache != "vaulted" or not unsafe or not path.is_file():
            return load(file_name, cache, unsafe, **options)
        state = path.stat()
        key = (path, state.st_mtime_ns, state.st_size, state.st_ino, *sorted(options.items()))
        if key not in kept:
            kept[key] = load(file_name, cache, unsafe, **options)
        return kept[key]

    loader.load_from_file = load_from_file
    return True


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
    """Let Mitogen compile each file once that it searches for the imports of modules.

    It searches the files of ansible.module_utils again for each module that imports them. Return
    whether it was replaced: not with another Mitogen.
    """
    if mitogen.__version__ not in _REPLACED_VERSIONS:
        return False
    # It shadows the built-in function in this one module.
    module_finder.compile = functools.lru_cache(maxsize=None)(compile)
    return True


def _load_collections(invocation: Any) -> None:
    """Add the folders of all installed collections to the path of a module."""
    import ansible_collections  # noqa: PLC0415  Ansible makes this package when it starts

    for root in ansible_collections.__path__:
        for name in ("MANIFEST.json", "galaxy.yml"):
            found = {str(path.parent) for path in Path(root).glob(f"*/*/{name}")}
            invocation._extra_sys_paths.update(found)  # noqa: SLF001  as Mitogen does


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
