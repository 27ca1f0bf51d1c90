# SPDX-License-Identifier: Apache-2.0
"""Tasks executed in the controller's process instead of a worker.

Ansible forks a worker for each task, which copies the memory of the controller's process. What the
worker loads and compiles, such as plug-ins, templates and the imports of modules, is lost with it.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible._internal import _task
from ansible.executor.task_executor import TaskExecutor
from ansible.plugins import loader as plugin_loader
from ansible.plugins.strategy import StrategyBase
from ansible.release import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

# They need neither a connection nor a module, so no other host waits for them.
ACTIONS = frozenset(
    {
        "ansible.builtin.assert",
        "ansible.builtin.debug",
        "ansible.builtin.fail",
        "ansible.builtin.include_role",
        "ansible.builtin.include_tasks",
        "ansible.builtin.include_vars",
        "ansible.builtin.set_fact",
        "ansible.builtin.validate_argument_spec",
        "mlflow_ec2.aws.difference",
        "mlflow_ec2.aws.settings_check",
    }
)
_QUEUE_PARAMETERS = ["host", "task", "task_vars", "play_context"]
# They ask the strategy, which would wait for itself, wait for a person, or start processes that
# must not share the terminal.
WORKER_ACTIONS = frozenset(
    {
        "ansible.builtin.add_host",
        "ansible.builtin.group_by",
        "ansible.builtin.pause",
        "mlflow_ec2.aws.deployment_lock",
        "mlflow_ec2.aws.playbook",
    }
)


class _NotSkippedError(BaseException):
    """The conditions of a task hold. No task catches this."""


def execute(*arguments: Any) -> bool:
    """Execute a task in this process, if no worker is needed for it.

    That is a task with one of ``ACTIONS``, any task that its conditions skip, and each task of a
    play with one host where Mitogen has the connection, except ``WORKER_ACTIONS``. The result
    takes the way of all results, through the strategy's queue. Return whether the task was
    executed: not one with ``async`` or ``timeout``, none that is repeated while other hosts wait,
    and none with an Ansible for which this was not made.

    Parameters
    ----------
    arguments
        Those of ``_Queued``.
    """
    release = runner()
    if release is None:
        return False
    run = release.run
    queued = _Queued(*arguments)
    task = queued.task
    alone = queued.has_the_play_alone()
    if task.async_val or task.timeout or (not alone and (task.retries or task.until)):
        return False
    # What Ansible's fork is for: a task changes itself and its variables.
    copy = task.copy(exclude_parent=True, exclude_tasks=True)
    copy._parent = task._parent  # noqa: SLF001  as Ansible copies tasks for their loops
    if task.action in ACTIONS or alone:
        # A loop reports its items before it ends.
        queued.register()
        queued.stay_connected()
        return run(queued, copy, lambda _: True)
    if not task.when or task.loop is not None:
        return False
    resolve = getattr(copy, release.conditions)

    def resolve_to_skip(*conditions: Any, **options: Any) -> Any:
        resolved = resolve(*conditions, **options)
        if resolved[0] if isinstance(resolved, tuple) else resolved:
            raise _NotSkippedError
        return resolved

    setattr(copy, release.conditions, resolve_to_skip)
    try:
        return run(queued, copy, lambda skipped: skipped and queued.register())
    except _NotSkippedError:
        return False


@dataclass(frozen=True)
class _Queued:
    """A task and what a strategy's ``_queue_task`` gets with it.

    Attributes
    ----------
    strategy
        The plug-in, a ``StrategyBase``.
    """

    strategy: Any
    host: Any
    task: Any
    task_vars: Any
    play_context: Any

    def register(self) -> bool:
        """Let the strategy expect a result, as with a worker; return True."""
        key = (self.host.name, self.task._uuid)  # noqa: SLF001
        self.strategy._queued_task_cache[key] = {  # noqa: SLF001
            "host": self.host,
            "task": self.task,
            "task_vars": self.task_vars,
            "play_context": self.play_context,
        }
        self.strategy._tqm.send_callback("v2_runner_on_start", self.host, self.task)  # noqa: SLF001
        self.strategy._pending_results += 1  # noqa: SLF001
        return True

    def has_the_play_alone(self) -> bool:
        """Return whether no other host waits, and a worker has nothing that this process lacks."""
        return (
            self._connections() is not None
            and len(self.strategy._hosts_cache) == 1  # noqa: SLF001
            and self.task.action not in WORKER_ACTIONS
        )

    def stay_connected(self) -> None:
        """Let Mitogen's thread and its connection outlive this task, until ``disconnect``.

        Mitogen ends them with each task, and most tasks of this process begin where the last one
        has ended.
        """
        if connections := self._connections():
            connections.on_binding_close = _nothing

    def _connections(self) -> Any:
        return _connections(self.strategy)

    def executor(self, *task: Any) -> TaskExecutor:
        """Return Ansible's executor; of ansible-core 2.19 it takes the task and its variables."""
        return TaskExecutor(
            self.host,
            *task,
            self.play_context,
            self.strategy._loader,  # noqa: SLF001
            plugin_loader.get_plugin_loader_namespace(),
            self.strategy._final_q,  # noqa: SLF001
            self.strategy._variable_manager,  # noqa: SLF001
        )


def disconnect(strategy: Any) -> None:
    """End the thread through which Mitogen's connection runs: a fork must have none.

    Parameters
    ----------
    strategy
        The plug-in, a ``StrategyBase``.
    """
    if connections := _connections(strategy):
        vars(connections).pop("on_binding_close", None)
        connections.on_binding_close()


def _connections(strategy: Any) -> Any:
    """Return Mitogen's model of connections; None without Mitogen, or with another model."""
    model = getattr(strategy, "_worker_model", None)
    return model if hasattr(model, "on_binding_close") else None


def _nothing() -> None:
    """Take the place of the model's method while its connection stays."""


def _run_2_19(queued: _Queued, task: Any, accept: Callable[[bool], bool]) -> bool:
    """Do what a worker of ansible-core 2.19 does, and send the result if it is accepted."""
    from ansible.executor.task_result import _RawTaskResult  # noqa: PLC0415  not in 2.21

    with _task.TaskContext(task):
        data = queued.executor(task, queued.task_vars.copy()).run()
        if not accept(bool(data.get("skipped"))):
            return False
        result = _RawTaskResult(
            host=queued.host, task=task, return_data=data, task_fields=task.dump_attrs()
        )
        queued.strategy._final_q.send_task_result(result)  # noqa: SLF001
    return True


def _run_2_21(queued: _Queued, task: Any, accept: Callable[[bool], bool]) -> bool:
    """Do what a worker of ansible-core 2.21 does, and send the result if it is accepted."""
    task_vars, host = queued.task_vars.copy(), queued.host
    with _task.TaskContext.create(task=task, task_vars=task_vars, host_name=host.name):
        task.squash()
        result = queued.executor().run()
        if not accept(bool(result.skipped)):
            return False
        result.finalize_registered_values()
        task.ignore_errors = result.ignore_errors
        task.ignore_unreachable = result.ignore_unreachable
        queued.strategy._final_q.send_task_result(host, task, result)  # noqa: SLF001
    return True


@dataclass(frozen=True)
class _Release:
    """How a release of ansible-core executes a task.

    Attributes
    ----------
    conditions
        The task's method by which the executor resolves `when`, before anything else. It returns
        whether all of them hold, or a tuple that begins with that.
    parameters
        Those of the executor.
    """

    run: Callable[[_Queued, Any, Callable[[bool], bool]], bool]
    conditions: str
    parameters: list[str]


_LAST_PARAMETERS = ["play_context", "loader", "shared_loader_obj", "final_q", "variable_manager"]
# The releases for which this was made.
_RELEASES = {
    "2.19": _Release(
        _run_2_19, "_resolve_conditional", ["host", "task", "job_vars", *_LAST_PARAMETERS]
    ),
    "2.21": _Release(_run_2_21, "_resolve_conditional_with_item", ["host", *_LAST_PARAMETERS]),
}


def runner() -> _Release | None:
    """Return how tasks of this release are executed; None for a release that is not known."""
    return _runner(__version__, StrategyBase, TaskExecutor)


@functools.cache
def _runner(version: str, strategy: Any, executor: type) -> _Release | None:
    release = _RELEASES.get(".".join(version.split(".")[:2]))
    queued = list(inspect.signature(strategy._queue_task).parameters)[1:]  # noqa: SLF001
    if release is None or queued != _QUEUE_PARAMETERS:
        return None
    parameters = list(inspect.signature(executor).parameters)
    if parameters != release.parameters or not _resolves_by(executor, release.conditions):
        return None
    return release


def _resolves_by(executor: type, method: str) -> bool:
    """Return whether an executor asks a task's method for the conditions, by its source.

    If it asked another one, it would execute the task here, and a worker would do so again.
    """
    try:
        return f"self._task.{method}(self._task.when" in inspect.getsource(executor)
    except (OSError, TypeError):
        return False
