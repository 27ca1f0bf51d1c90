"""Tasks in the controller's process have the results that they have in Ansible's workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from ansible.executor.task_executor import TaskExecutor
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import controller_tasks

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from pathlib import Path

PLAYBOOK = """
- name: Tasks on two hosts
  hosts: one, two
  gather_facts: false
  any_errors_fatal: false
  vars:
    greeting: "hello {{ inventory_hostname }}"
    labels: {one: first, two: second}
  handlers:
    - name: Say it
      ansible.builtin.debug:
        msg: "{{ greeting }} from a handler"
  tasks:
    - name: Set a fact per host
      ansible.builtin.set_fact:
        name_of_host: "{{ greeting }}"
        numbers: [1, 2, "{{ labels | length }}"]
        cacheable: true
      register: set

    - name: Set a fact in a loop
      ansible.builtin.set_fact:
        total: "{{ (total | default(0)) + item.n }}"
      loop: [{n: 1}, {n: 2}]
      loop_control:
        label: "{{ labels[inventory_hostname] }} {{ item.n }}"
        index_var: at
        extended: true
      register: looped

    - name: Set a fact of another host
      ansible.builtin.set_fact:
        named: "{{ inventory_hostname }}"
      delegate_to: "{{ 'two' if inventory_hostname == 'one' else 'one' }}"
      delegate_facts: true

    - name: Set a fact once
      ansible.builtin.set_fact:
        once: "{{ inventory_hostname }}"
      run_once: true

    - name: Check what holds
      ansible.builtin.assert:
        that: [total == 3, named != inventory_hostname, once == 'one']
        success_msg: "{{ greeting }} holds"

    - name: Check what does not hold
      ansible.builtin.assert:
        that: [total == 3, total == 4]
        fail_msg: "{{ greeting }}: {{ total }} is not 4"
        quiet: true
      ignore_errors: true
      register: failed

    - name: Check an undefined variable
      ansible.builtin.assert:
        that: missing == 1
      ignore_errors: true

    - name: Check with an expression that is not valid
      ansible.builtin.assert:
        that: "1 +"
      ignore_errors: true

    - name: Leave out
      ansible.builtin.set_fact:
        total: 0
      when: inventory_hostname == 'one' and not set.changed

    - name: Leave out a module
      ansible.builtin.ping:
        data: "{{ greeting }}"
      # Of two workers either may end first; of a host without one the result comes first.
      when: inventory_hostname == 'two'
      register: pinged

    - name: Leave out a module of another host
      ansible.builtin.ping:
      when: [inventory_hostname == 'two', pinged is skipped]
      delegate_to: two

    - name: Leave out a module once
      ansible.builtin.ping:
      when: pinged is skipped
      run_once: true
      changed_when: true
      notify: Say it

    - name: Leave out a module by a condition that fails
      ansible.builtin.ping:
      when: missing.attribute
      ignore_errors: true

    - name: Leave out a module of which nothing is known
      ansible.builtin.ping:
        data: "{{ missing }}"
      when: pinged is failed

    - name: Leave out by a condition that fails
      ansible.builtin.set_fact:
        total: 0
      when: missing.attribute
      ignore_errors: true

    - name: Loop over nothing
      ansible.builtin.debug:
        msg: "{{ item }}"
      loop: []

    - name: Show nothing secret
      ansible.builtin.set_fact:
        secret: "{{ 'not to be' + ' seen' }}"
      no_log: true
      register: hidden

    - name: Notify
      ansible.builtin.debug:
        var: labels[inventory_hostname]
      changed_when: true
      notify: Say it

    - name: Fail by a condition
      ansible.builtin.debug:
        msg: "{{ greeting }}"
      failed_when: inventory_hostname == 'two'
      ignore_errors: true

    - name: Read a file of variables
      ansible.builtin.include_vars:
        file: "{{ playbook_dir }}/{{ inventory_hostname }}.yml"
        name: included

    - name: Include tasks
      ansible.builtin.include_tasks:
        file: "{{ step }}.yml"
        apply:
          tags: [always]
      loop: [first, second]
      loop_control:
        loop_var: step
      when: included.value == inventory_hostname

    - name: Include a role
      ansible.builtin.include_role:
        name: "{{ playbook_dir }}/polite"
      vars:
        polite_greeting: "{{ greeting }}"

    - name: Fail and go on
      block:
        - name: Fail
          ansible.builtin.fail:
            msg: "{{ greeting }} fails"
          when: inventory_hostname == 'two'
      rescue:
        - name: Show what failed
          ansible.builtin.debug:
            msg: "{{ ansible_failed_task.name }}: {{ ansible_failed_result.msg }}"

    - name: Compare
      mlflow_ec2.aws.difference:
        before: {a: 1, b: "{{ total }}"}
        after: {a: 1, b: 4}
      diff: true

    - name: Show all
      ansible.builtin.debug:
        msg:
          - "{{ [name_of_host, numbers, total, named, once, secret, polite_fact, included] }}"
          - "{{ [set, looped, failed, hidden, pinged] }}"
          - "{{ hostvars.one.total }} {{ hostvars.two.name_of_host }}"
          - "{{ [ansible_loop_var | default('no loop'), item | default('no item')] }}"

    - name: Fail at last
      ansible.builtin.fail:
        msg: "{{ greeting }} ends"
      when: inventory_hostname == 'one'

    - name: Go on without a host that failed
      ansible.builtin.debug:
        msg: "{{ greeting }}"
"""
FILES = {
    "one.yml": "value: one\n",
    "two.yml": "value: other\n",
    "first.yml": "- name: Step\n  ansible.builtin.debug: {msg: '{{ step }} {{ greeting }}'}\n",
    "second.yml": "- name: Step\n  ansible.builtin.set_fact: {stepped: '{{ step }}'}\n",
    "text.j2": "{{ greeting }}, {{ folder | basename }}\n",
    "polite/tasks/main.yml": (
        "- name: Be polite\n"
        "  ansible.builtin.set_fact: {polite_fact: '{{ polite_greeting }}, please'}\n"
    ),
    "polite/meta/argument_specs.yml": (
        "argument_specs: {main: {options: {polite_greeting: {type: str, required: true}}}}\n"
    ),
}


def run(folder: Path, playbook: str, strategy: str, *options: str) -> tuple[int, str]:
    """Run a playbook on two hosts; return its status and what it printed."""
    for name, text in {**FILES, "playbook.yml": playbook}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=one,two", "--connection=local"),
            *(f"--extra-vars=ansible_python_interpreter={sys.executable}", *options),
            folder / "playbook.yml",
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_STRATEGY": strategy, "ANSIBLE_FORKS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "options", [(), pytest.param(("-vv",), marks=pytest.mark.slow), ("--check", "--diff")]
)
def test_tasks_of_the_controller_print_what_they_print_in_workers(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    theirs, ours = (
        run(tmp_path, PLAYBOOK, strategy, *options)
        for strategy in ("linear", "mlflow_ec2.aws.warm")
    )
    assert "hello two ends" not in theirs[1]
    assert "hello one ends" in theirs[1]
    assert ours == theirs


@pytest.mark.parametrize(
    "options", [(), ("--check", "--diff"), pytest.param(("--diff",), marks=pytest.mark.slow)]
)
def test_modules_of_the_controller_print_what_they_print_in_workers(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    theirs, ours = (
        (status, VOLATILE.sub("", printed))
        for status, printed in (
            run(tmp_path, MODULES, strategy, *options)
            for strategy in ("linear", "mlflow_ec2.aws.warm")
        )
    )
    assert "RUNNING HANDLER [Say it]" in theirs[1]
    assert "Leave out what follows" not in theirs[1]
    assert ours == theirs


MODULES = """
- name: Modules on one host
  hosts: one
  gather_facts: false
  vars:
    folder: "{{ playbook_dir }}/made"
    greeting: "hello {{ inventory_hostname }}"
  handlers:
    - name: Say it
      ansible.builtin.command:
        argv: [echo, "{{ greeting }} from a handler"]
      changed_when: false
  tasks:
    - name: Remove what an earlier run left
      ansible.builtin.file:
        path: "{{ folder }}"
        state: absent
      changed_when: false
      check_mode: false
      diff: false

    - name: Gather facts
      ansible.builtin.setup:
        gather_subset: ["!all", "!min", python]

    - name: Create folders
      ansible.builtin.file:
        path: "{{ folder }}/{{ item }}"
        state: directory
        mode: "0750"
      loop: [a, b]

    - name: Write files
      ansible.builtin.copy:
        content: "{{ greeting }} {{ item.key }}\n"
        dest: "{{ folder }}/{{ item.value }}/text"
        mode: "0640"
      loop: "{{ {'x': 'a', 'y': 'b'} | dict2items }}"
      loop_control:
        label: "{{ item.key }}"
      register: written
      notify: Say it

    - name: Write a template
      ansible.builtin.template:
        src: text.j2
        dest: "{{ folder }}/a/template"
        mode: "0600"
      when: written is changed

    - name: Write a secret
      ansible.builtin.copy:
        content: "not to be seen"
        dest: "{{ folder }}/a/secret"
        mode: "0600"
      no_log: true

    - name: Read a program's output, in its environment
      ansible.builtin.shell:
        cmd: echo "$GREETING"; echo wrong >&2; exit 3
        chdir: /
      environment:
        GREETING: "{{ greeting }}"
      register: said
      changed_when: false
      failed_when: said.rc != 3
      check_mode: false

    - name: Read what is not there
      ansible.builtin.command:
        argv: [cat, "{{ folder }}/missing"]
      register: missing
      changed_when: false
      ignore_errors: true
      check_mode: false

    - name: Run a module that does not know its argument
      ansible.builtin.stat:
        wrong: 1
      ignore_errors: true

    - name: Read an undefined variable
      ansible.builtin.stat:
        path: "{{ nowhere }}"
      ignore_errors: true

    - name: Ask another host, once
      ansible.builtin.ping:
        data: "{{ greeting }}"
      delegate_to: two
      run_once: true
      register: pinged

    - name: Ask until it answers
      ansible.builtin.ping:
        data: "{{ greeting }}"
      register: repeated
      until: repeated is success
      retries: 2
      delay: 0

    - name: Ask until it answers at last
      ansible.builtin.shell:
        cmd: mkdir "{{ playbook_dir }}/asked" && exit 1; rmdir "{{ playbook_dir }}/asked"
      register: asked
      until: asked is success
      retries: 3
      delay: 0
      changed_when: false
      check_mode: false

    - name: Ask in a loop until it has failed too often
      ansible.builtin.ping:
        data: "{{ item }}"
      register: refused
      until: refused.ping == 'nothing'
      retries: 1
      delay: 0
      loop: [one, two]
      ignore_errors: true

    - name: Name a host in a worker
      ansible.builtin.add_host:
        name: three

    - name: Ask after a worker
      ansible.builtin.ping:

    - name: Fail and go on
      block:
        - name: Fail
          ansible.builtin.command: "false"
          check_mode: false
      rescue:
        - name: Show what failed
          ansible.builtin.ping:
            data: "{{ ansible_failed_task.name }}: {{ ansible_failed_result.rc }}"
          register: rescued
      always:
        - name: Show all
          ansible.builtin.debug:
            msg:
              - "{{ written.results | default([]) | map(attribute='changed') }} {{ said.stdout }}"
              - "{{ said.stderr }} {{ missing.rc }}"
              - "{{ pinged.ping }} {{ repeated.ping }} {{ rescued.ping }}"
              - "{{ ansible_facts.python.version.major }}"

    - name: Call the handlers
      ansible.builtin.meta: flush_handlers

    - name: Forget the connection
      ansible.builtin.meta: reset_connection

    - name: Fail at last
      ansible.builtin.command: "false"
      check_mode: false

    - name: Leave out what follows
      ansible.builtin.ping:
"""
# Lines with what differs from run to run: times, temporary files, numbers of files.
VOLATILE = re.compile(
    r"(?m)^.*(?:/ansible-local-|ansible-tmp-|\bdelta\b|\b(?:start|end):|time\b|\binode\b).*\n"
)

PROCESSES = """
- name: Tasks that say which process executes them
  hosts: one
  gather_facts: false
  tasks:
    - name: Read the process
      ansible.builtin.debug:
        msg: "process={{ lookup('ansible.builtin.pipe', 'echo $PPID') }}"
    - name: Read the process once more
      ansible.builtin.debug:
        msg: "process={{ lookup('ansible.builtin.pipe', 'echo $PPID') }}"
    - name: Read the process of a task that is repeated
      ansible.builtin.debug:
        msg: "process={{ lookup('ansible.builtin.pipe', 'echo $PPID') }}"
      register: read
      until: read is success
    - name: Read the process of a module
      ansible.builtin.ping:
        data: "process={{ lookup('ansible.builtin.pipe', 'echo $PPID') }}"
      register: module
    - name: Show the process of a module
      ansible.builtin.debug:
        var: module.ping
    - name: Leave out a task of a worker
      ansible.builtin.ping:
      when: lookup('ansible.builtin.pipe', 'echo process=$PPID > ' + playbook_dir + '/skip') != ''
"""


@pytest.mark.parametrize(
    ("strategy", "hosts", "processes"),
    [
        ("linear", "one", 5),
        ("mlflow_ec2.aws.warm", "one", 1),
        # The repeated task and the module have a worker on each host.
        ("mlflow_ec2.aws.warm", "one, two", 5),
    ],
)
def test_tasks_of_the_controller_share_its_process(
    tmp_path: Path, strategy: str, hosts: str, processes: int
) -> None:
    playbook = PROCESSES.replace("hosts: one", f"hosts: {hosts}")
    status, printed = run(tmp_path, playbook, strategy)
    assert status == 0, printed
    read = re.findall("process=([0-9]+)", printed + (tmp_path / "skip").read_text())
    assert len(read) == 4 * len(hosts.split(", ")) + 1
    assert len(set(read)) == processes


CONDITIONS = """
- name: Conditions that hold
  hosts: {hosts}
  gather_facts: false
  tasks:
    - name: Count
      ansible.builtin.shell:
        cmd: echo "{{ inventory_hostname }}" >> "{{ playbook_dir }}/count"
      when: [inventory_hostname != 'three', true]
      changed_when: true
      failed_when: false

    - name: Add a host
      ansible.builtin.add_host:
        name: "of-{{ inventory_hostname }}"
      when: inventory_hostname != 'three'

    - name: Group hosts
      ansible.builtin.group_by:
        key: grouped
      when: inventory_hostname != 'three'

- name: Hosts that were added
  hosts: of-one, of-two, grouped
  gather_facts: false
  tasks:
    - name: Name them
      ansible.builtin.debug:
        var: inventory_hostname
"""


@pytest.mark.parametrize("hosts", [["one"], ["one", "two"]])
def test_task_whose_conditions_hold_is_executed_once(tmp_path: Path, hosts: list[str]) -> None:
    """A worker executes it where this process must not, and this process has not begun it."""
    theirs, ours = (
        run(tmp_path, CONDITIONS.replace("{hosts}", ", ".join(hosts)), strategy)
        for strategy in ("linear", "mlflow_ec2.aws.warm")
    )
    assert ours == theirs
    assert (ours[0], f"of-{hosts[-1]}" in ours[1]) == (0, True)
    assert sorted((tmp_path / "count").read_text().split()) == sorted(hosts * 2)


def test_tasks_of_another_ansible_are_left_to_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert controller_tasks.runner()
    monkeypatch.setattr(controller_tasks, "__version__", "2.22.0")
    assert controller_tasks.runner() is None
    assert not controller_tasks.execute(None, None, None, None, None)


@pytest.mark.parametrize("replaced", ["TaskExecutor", "StrategyBase"])
def test_tasks_of_another_signature_are_left_to_workers(
    monkeypatch: pytest.MonkeyPatch, replaced: str
) -> None:
    class Other:
        def _queue_task(self, task: object) -> None:
            """Take something else."""

    monkeypatch.setattr(controller_tasks, replaced, Other)
    assert controller_tasks.runner() is None


def test_tasks_whose_conditions_another_method_resolves_are_left_to_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Executor(TaskExecutor):
        """Its source has no call of that method."""

    monkeypatch.setattr(controller_tasks, "TaskExecutor", Executor)
    assert controller_tasks.runner() is None


def test_module_with_another_model_of_mitogen_is_left_to_a_worker() -> None:
    class Strategy:
        _worker_model = object()
        _hosts_cache = ("one",)

    strategy = Strategy()
    queued = controller_tasks._Queued(strategy, None, None, None, None)
    assert not queued.has_the_play_alone()
    queued.stay_connected()
    controller_tasks.disconnect(strategy)


def test_connection_stays_until_it_is_disconnected() -> None:
    """Mitogen ends it with each task; a fork must have none."""
    closed: list[str] = []

    class Model:
        def on_binding_close(self) -> None:
            closed.append("closed")

    class Strategy:
        _worker_model = Model()
        _hosts_cache = ("one",)

    strategy = Strategy()
    for _ in range(2):
        controller_tasks._Queued(strategy, None, None, None, None).stay_connected()
        strategy._worker_model.on_binding_close()
    assert not closed
    controller_tasks.disconnect(strategy)
    assert closed == ["closed"]
    # In a worker, the connection ends with the task.
    strategy._worker_model.on_binding_close()
    assert closed == ["closed"] * 2
