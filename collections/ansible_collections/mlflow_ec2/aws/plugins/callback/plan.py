# SPDX-License-Identifier: Apache-2.0
"""Ansible callback: what a run under --check would do, summed up at its end."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ansible import context
from ansible.playbook.handler import Handler
from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult

DOCUMENTATION = """
name: plan
type: aggregate
short_description: Sums up what a run under --check would do
description:
  - At the end of a run under C(--check), lists what would be created, changed and deleted, with
    what differs as far as the module reports it, and says how much is left as it is.
  - Without C(--check) it says nothing.
notes:
  - The plan relies on these properties of tasks and modules.
  - A module reports C(changed) under C(--check). Where a module cannot, a task with
    M(mlflow_ec2.aws.difference) before it does.
  - The name of a task is C(Create) or C(Plan) and the resource, or another verb and its object.
    Tasks with M(mlflow_ec2.aws.difference) are named C(Plan) and the resource.
  - A result says what would happen by parameter C(state=absent) (delete), by C(existed), by
    C(before) in its C(diff), or by an identity such as an ARN (change if present, else create).
  - Read-only modules are named C(*_info), or are in a list of this plugin. What they leave
    unchanged is not counted.
  - Handlers and tasks with C(check_mode=false) are not part of a plan.
options:
  plan_file:
    description: File to which the plan is written as JSON as well; none if it is empty.
    type: str
    default: ''
    env: [{name: ANSIBLE_PLAN_FILE}]
"""

CREATE = "create"
CHANGE = "change"
DELETE = "delete"
_MARKS = {CREATE: ("+", "green"), CHANGE: ("~", "yellow"), DELETE: ("-", "red")}
_LONGEST_VALUE = 200
# They look, or speak with Ansible alone; what they find unchanged is not a resource.
_LOOKING = re.compile(
    r"(^|\.)(\w+_info|assert|debug|fail|set_fact|stat|slurp|find|uri|wait_for|pause|setup|add_host"
    r"|meta|include_\w+|import_\w+|settings_check|botocore_cache|gather_facts|postgresql_ping|postgresql_query"
    r"|validate_argument_spec)\Z"
)
_VERB = re.compile(r"^(Create|Plan) ")
# What AWS names things by once they are there.
_IDENTITY = re.compile(r"(^|_)(arn|id|ids)\Z")
# What our roles and amazon.aws plan with in the place of what is not there yet.
_PLANNED_IDENTITY = re.compile(r"-(0{17}|x{8})\Z")
# Parameters about how a module works, and not about the wanted state.
_MODULE_OPTIONS = {"state", "wait", "wait_timeout", "apply_immediately", "filters", "name"}
_NO_STATE = {
    *("invocation", "changed", "msg", "spec", "diff", "item", "warnings", "deprecations"),
    *("changes", "ansible_loop_var", "_ansible_item_label"),
}


@dataclass(frozen=True)
class Planned:
    """One thing that would be done.

    `action` is create, change or delete; `resource` names what it is done to, `host` and `role`
    the place where it is done; `differences` says how it would differ, a line each.
    """

    action: str
    resource: str
    host: str
    role: str
    differences: tuple[str, ...]


class CallbackModule(CallbackBase):
    """Collects what changes under --check."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "plan"
    CALLBACK_NEEDS_ENABLED: ClassVar = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._planned: list[Planned] = []
        self._left = 0

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Take the result of a task; those of a loop come item by item."""
        if not result.task.loop:
            self._take(result)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Take the result of an item."""
        self._take(result)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Show the plan."""
        if not context.CLIARGS.get("check"):
            return
        failed = any(stats.failures.values()) or any(stats.dark.values())
        self._show(complete=not failed)
        if name := self.get_option("plan_file"):
            Path(name).write_text(
                json.dumps(
                    {
                        "complete": not failed,
                        "left": self._left,
                        "planned": [asdict(planned) for planned in self._planned],
                    }
                )
            )

    def _take(self, result: CallbackTaskResult) -> None:
        task, content = result.task, result.result
        # What a plan itself needs is done under --check as well, and is nothing that is planned.
        # A handler is a consequence.
        if (
            not context.CLIARGS.get("check")
            or task.check_mode is False
            or isinstance(task, Handler)
        ):
            return
        if not content.get("changed"):
            self._left += not (
                content.get("skipped") or _LOOKING.search(task.action) or _absent(content)
            )
            return
        resource = _VERB.sub("", result.task_name.rpartition(" : ")[2])
        if (label := content.get("_ansible_item_label")) is not None:
            resource += f": {label}"
        kind = self._action(task.action, content)
        role = task._role.get_name() if task._role else ""  # noqa: SLF001 -- no public name
        self._planned.append(
            Planned(
                kind,
                resource,
                result.host.get_name(),
                role,
                tuple(differences(content)) if kind == CHANGE else (),
            )
        )

    def _action(self, name: str, content: Mapping[str, Any]) -> str:
        """Return the action; where nothing says it, from nothing all is made."""
        described = name.startswith("amazon.aws.") or "existed" in content or _diffs(content)
        if _absent(content) or (described and not content.get("censored")):
            return action(content)
        something = self._left or any(planned.action == CHANGE for planned in self._planned)
        return CHANGE if something else CREATE

    def _show(self, *, complete: bool) -> None:
        display = self._display
        display.banner("PLAN")
        for planned, times in Counter(self._planned).items():
            mark, colour = _MARKS[planned.action]
            repeated = f", {times} times" if times > 1 else ""
            display.display(f"{mark} {planned.resource} ({planned.host}{repeated})", color=colour)
            for line in planned.differences:
                display.display(f"    {line}")
        counts = {kind: sum(p.action == kind for p in self._planned) for kind in _MARKS}
        summary = ", ".join(f"{count} to {kind}" for kind, count in counts.items())
        display.display(f"{summary}, {self._left} unchanged")
        if not complete:
            display.display("The plan is not complete: the run failed", color="red")


def action(result: Mapping[str, Any]) -> str:
    """Return what a change of this result is: create, change or delete.

    Under --check modules describe what is there already, and of what is not they have no identity.
    """
    if _absent(result):
        return DELETE
    if "existed" in result:
        return CHANGE if result["existed"] else CREATE
    diffs = _diffs(result)
    if any("before" in diff for diff in diffs):
        return CHANGE if any(diff.get("before") for diff in diffs) else CREATE
    present = {name: value for name, value in result.items() if name not in _NO_STATE}
    return CHANGE if any(_identities(present)) else CREATE


def differences(result: Mapping[str, Any]) -> Iterator[str]:
    """Report the differences from the wanted state, as far as the module has them."""
    diffs = _diffs(result)
    if diffs:
        for diff in diffs:
            yield from _lines(diff)
        return
    present = {name: value for name, value in result.items() if name not in _NO_STATE}
    for name, wanted in _arguments(result).items():
        for value in _values(present, name):
            if name not in _MODULE_OPTIONS and _comparable(value, wanted):
                yield from _argument_differences(name, value, wanted)
            break


def _arguments(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the module."""
    return (result.get("invocation") or {}).get("module_args") or {}


def _absent(result: Mapping[str, Any]) -> bool:
    """Return whether its parameters ask for a deletion."""
    return bool(_arguments(result).get("state") == "absent")


def _diffs(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    diff = result.get("diff") or []
    return [part for part in (diff if isinstance(diff, list) else [diff]) if part]


def _lines(diff: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a module's diff says: one line for each key, or each line of a text."""
    before, after = diff.get("before"), diff.get("after")
    if isinstance(before, dict) and isinstance(after, dict):
        # A key in `before` alone is described and not managed.
        for name in after:
            yield from _value_differences(name, before.get(name), after[name])
    elif isinstance(before, str) and isinstance(after, str):
        title = diff.get("before_header") or diff.get("after_header")
        if title:
            yield str(title)
        old, new = before.splitlines(), after.splitlines()
        yield from (f"- {_short(line)}" for line in old if line not in new)
        yield from (f"+ {_short(line)}" for line in new if line not in old)
    elif prepared := diff.get("prepared"):
        yield from str(prepared).splitlines()


def _value_differences(name: str, present: Any, wanted: Any) -> Iterator[str]:
    if isinstance(present, dict) and isinstance(wanted, dict):
        for key in [*present, *(key for key in wanted if key not in present)]:
            yield from _value_differences(f"{name}.{key}", present.get(key), wanted.get(key))
    elif _plain(present) != _plain(wanted):
        yield f"{name}: {_short(present)} -> {_short(wanted)}"


def _comparable(present: Any, wanted: Any) -> bool:
    """Return whether module and AWS say it in the same shape."""
    if isinstance(wanted, dict):
        return isinstance(present, dict) and bool(wanted)
    if isinstance(wanted, list):
        scalars = not any(isinstance(item, dict | list) for item in [*wanted, *(present or [])])
        return isinstance(present, list) and bool(wanted) and scalars
    return wanted is not None and not isinstance(present, dict | list)


def _argument_differences(name: str, present: Any, wanted: Any) -> Iterator[str]:
    """Yield the differences in parameters of the module; it leaves all else as it is."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            if value is not None:
                yield from _value_differences(f"{name}.{key}", present.get(key), value)
    else:
        yield from _value_differences(name, present, wanted)


def _plain(value: Any) -> Any:
    """Return what two ways to write a value have in common."""
    if isinstance(value, list | tuple):
        return sorted(map(str, map(_plain, value)))
    return value if isinstance(value, dict) else str(value).lower()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _identities(value: Any, depth: int = 2) -> Iterator[str]:
    """Yield identifiers near the top of a description."""
    if isinstance(value, list):
        for item in value[:1]:
            yield from _identities(item, depth)
    elif isinstance(value, dict):
        for name, part in value.items():
            if part and isinstance(part, str | list) and _IDENTITY.search(str(name)):
                if not (isinstance(part, str) and _PLANNED_IDENTITY.search(part)):
                    yield str(part)
            elif depth:
                yield from _identities(part, depth - 1)


def _values(value: Any, name: str, depth: int = 2) -> Iterator[Any]:
    """Yield the values of that name near the top of a description."""
    if isinstance(value, list):
        for item in value[:1]:
            yield from _values(item, name, depth)
    elif isinstance(value, dict):
        if name in value:
            yield value[name]
        elif depth:
            for part in value.values():
                yield from _values(part, name, depth - 1)
