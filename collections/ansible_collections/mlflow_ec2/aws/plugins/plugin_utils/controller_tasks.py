# SPDX-License-Identifier: Apache-2.0
"""Tasks that only look at variables, executed without a process of their own.

Ansible forks a worker for each task, which copies the memory of the controller's process. That
takes longer than such a task itself, and what the worker compiled of templates is lost with it.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ansible._internal import _task
from ansible.executor.task_executor import TaskExecutor
from ansible.plugins import loader as plugin_loader
from ansible.plugins.strategy import StrategyBase
from ansible.release import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

# They need neither a connection nor a module. Those that add hosts are left out: they ask the
# strategy to, which would wait for itself.
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


def execute(strategy: Any, host: Any, task: Any, task_vars: Any, play_context: Any) -> bool:
    """Execute a task of a strategy in this process, if it is one of those above.

    The result takes the way of all results, through the strategy's queue. Return whether the task
    was executed: not one that waits, and none with an Ansible for which this was not made.

    Parameters
    ----------
    strategy
        The plug-in, a ``StrategyBase``.
    host, task, task_vars, play_context
        As its ``_queue_task`` gets them.
    """
    run = runner()
    if run is None or task.action not in ACTIONS:
        return False
    if task.async_val or task.timeout or task.retries or task.until:
        return False
    # What Ansible's fork is for: a task changes itself and its variables.
    copy = task.copy(exclude_parent=True, exclude_tasks=True)
    copy._parent = task._parent  # noqa: SLF001  as Ansible copies tasks for their loops
    key = (host.name, task._uuid)  # noqa: SLF001
    strategy._queued_task_cache[key] = {  # noqa: SLF001
        "host": host,
        "task": task,
        "task_vars": task_vars,
        "play_context": play_context,
    }
    strategy._tqm.send_callback("v2_runner_on_start", host, task)  # noqa: SLF001
    run(strategy, host, copy, task_vars.copy(), play_context)
    strategy._pending_results += 1  # noqa: SLF001
    return True


def _run_2_19(strategy: Any, host: Any, task: Any, task_vars: Any, play_context: Any) -> None:
    """Do what a worker of ansible-core 2.19 does."""
    from ansible.executor.task_result import _RawTaskResult  # noqa: PLC0415  not in 2.21

    with _task.TaskContext(task):
        data = TaskExecutor(host, task, task_vars, play_context, *_surroundings(strategy)).run()
    result = _RawTaskResult(host=host, task=task, return_data=data, task_fields=task.dump_attrs())
    strategy._final_q.send_task_result(result)  # noqa: SLF001


def _run_2_21(strategy: Any, host: Any, task: Any, task_vars: Any, play_context: Any) -> None:
    """Do what a worker of ansible-core 2.21 does."""
    with _task.TaskContext.create(task=task, task_vars=task_vars, host_name=host.name):
        task.squash()
        result = TaskExecutor(host, play_context, *_surroundings(strategy)).run()
        result.finalize_registered_values()
        task.ignore_errors = result.ignore_errors
        task.ignore_unreachable = result.ignore_unreachable
        strategy._final_q.send_task_result(host, task, result)  # noqa: SLF001


def _surroundings(strategy: Any) -> tuple[Any, ...]:
    """Return what an executor gets besides the task, in its order."""
    return (
        strategy._loader,  # noqa: SLF001
        plugin_loader.get_plugin_loader_namespace(),
        strategy._final_q,  # noqa: SLF001
        strategy._variable_manager,  # noqa: SLF001
    )


_LAST_PARAMETERS = ["play_context", "loader", "shared_loader_obj", "final_q", "variable_manager"]
# For each release for which this was made, the parameters of its executor.
_RUNNERS = {
    "2.19": (_run_2_19, ["host", "task", "job_vars", *_LAST_PARAMETERS]),
    "2.21": (_run_2_21, ["host", *_LAST_PARAMETERS]),
}


def runner() -> Callable[..., None] | None:
    """Return how tasks of this release are executed; None for a release that is not known."""
    release = ".".join(__version__.split(".")[:2])
    run, parameters = _RUNNERS.get(release, (None, []))
    queued = list(inspect.signature(StrategyBase._queue_task).parameters)[1:]  # noqa: SLF001
    executor = list(inspect.signature(TaskExecutor).parameters)
    return run if (executor, queued) == (parameters, _QUEUE_PARAMETERS) else None
