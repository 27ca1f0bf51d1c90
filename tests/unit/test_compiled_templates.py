"""Templates that are compiled once give what they give when they are compiled each time."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import compiled_templates
from jinja2 import Environment

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = {
    "name": "one",
    "numbers": [1, 2, 3],
    "nested": trust_as_template("{{ name }}-{{ numbers | length }}"),
    "texts": [trust_as_template("{{ nested }}"), "plain"],
    "empty": None,
}
TEMPLATES = [
    "{{ name }}",
    " {{ nested }}\n\n",
    "{{ texts }}",
    "{{ numbers | map('string') | join(', ') }}",
    "{% for n in numbers %}{{ n }}{% if not loop.last %},{% endif %}\n{% endfor %}",
    "{% set a = namespace(n=0) %}{% for n in numbers %}{% set a.n = n %}{% endfor %}{{ a.n }}",
    "{{ '\\\\d' }} {{ 'a\\tb' }}",
    "{{ {'a': numbers, 'b': empty} }}",
    "{{ numbers is sequence and name is match('o') }}",
    "{{ [3, 1] | sort }} {{ 'x' | upper }}",
    "{{ missing }}",
    "{{ missing.attribute | default('absent') }}",
    "{{ name | unknown_filter }}",
    "{{ name",
    "{{ 1 / 0 }}",
    "plain",
]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"variable_start_string": "[[", "variable_end_string": "]]"},
    {"trim_blocks": False},
]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that Jinja compiles, while Ansible keeps what it has compiled."""
    jinja = pytest.importorskip("ansible._internal._templating._jinja_bits")
    texts: list[str] = []
    compile_text = Environment.compile

    def compile_and_count(self: Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(source, str):
            texts.append(str(source))
        return compile_text(self, source, *arguments, **options)

    # Ansible inherits the method. What replaces it in a test ends with the test.
    monkeypatch.setattr(jinja.AnsibleEnvironment, "compile", compile_and_count, raising=False)
    own = inspect.unwrap(jinja.AnsibleEnvironment.compile_expression)
    monkeypatch.setattr(jinja.AnsibleEnvironment, "compile_expression", own)
    return texts


def render(text: str, settings: dict[str, Any]) -> Any:
    """Return what a template gives, or the error."""
    templar = Templar(loader=DataLoader(), variables=dict(VARIABLES))
    try:
        return templar.copy_with_new_env(**settings).template(trust_as_template(text))
    except Exception as error:  # noqa: BLE001  each error is compared
        return type(error).__name__, str(error)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_each_template_gives_the_same_each_time(
    compiled: list[str], settings: dict[str, Any]
) -> None:
    stock = [render(text, settings) for text in TEMPLATES]
    before = len(compiled)
    assert compiled_templates.keep()
    first = [render(text, settings) for text in TEMPLATES]
    in_between = len(compiled)
    second = [render(text, settings) for text in TEMPLATES]
    assert stock == first == second
    # The second time, only those are compiled that have an error, or a filter of constants.
    assert len(compiled) - in_between < (in_between - before) / 2


def test_second_play_keeps_what_the_first_has_compiled(compiled: list[str]) -> None:
    assert compiled_templates.keep()
    render("{{ name }} once", {})
    assert compiled_templates.keep()
    render("{{ name }} once", {})
    assert compiled.count("{{ name }} once") == 1


def test_oldest_text_is_forgotten_if_there_are_too_many(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_templates, "KEPT", 2)
    assert compiled_templates.keep()
    for number in (1, 2, 3, 3, 1):
        render(f"{{{{ name }}}} {number}", {})
    assert [text[-1] for text in compiled] == ["1", "2", "3", "1"]


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("{{ '/etc/hosts' is defined }}", True),
        ("{{ ['/etc'] | map('upper') | list }} {{ name }}", True),
        ("{{ (name ~ '/hosts') is defined }}", False),
        ("{{ name | default('x' | upper) }}", True),
        ("{{ name }}", False),
    ],
)
def test_calls_that_jinja_makes_while_it_compiles_are_found(text: str, *, constant: bool) -> None:
    environment = Environment()  # noqa: S701  nothing is rendered
    assert compiled_templates.has_constant_calls(environment, text) is constant


EXPRESSIONS = [
    "name == 'one'",
    "numbers | length > 2 and name is match('o')",
    "missing is defined",
    "missing == 1",
    "name | unknown_filter",
    "1 +",
    "name == '}}' or name in ['%}', '{{']",
    "'/etc' is defined and nested == 'one-3'",
    "numbers",
    "empty",
]


def evaluate(expression: str) -> Any:
    """Return what an expression gives, or the error."""
    templar = Templar(loader=DataLoader(), variables=dict(VARIABLES))
    try:
        return templar.evaluate_expression(trust_as_template(expression))
    except Exception as error:  # noqa: BLE001  each error is compared
        return type(error).__name__, str(error)


def test_each_expression_gives_the_same_each_time(compiled: list[str]) -> None:
    stock = [evaluate(text) for text in EXPRESSIONS]
    assert compiled_templates.keep()
    first = [evaluate(text) for text in EXPRESSIONS]
    second = [evaluate(text) for text in EXPRESSIONS]
    assert stock == first == second
    assert compiled


def test_condition_is_compiled_once_for_all_values_of_its_variables(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    compile_expression = Environment.compile_expression

    def compile_and_count(self: Environment, source: str, *arguments: Any) -> Any:
        parsed.append(str(source))
        return compile_expression(self, source, *arguments)

    monkeypatch.setattr(Environment, "compile_expression", compile_and_count)
    monkeypatch.setattr(
        compiled_templates, "EXPRESSION_PARAMETERS", ["self", "source", "arguments"]
    )
    assert compiled_templates.keep()
    for name, holds in (("one", True), ("two", False), ("one", True)):
        templar = Templar(loader=DataLoader(), variables={"name": name})
        assert templar.evaluate_conditional(trust_as_template("name == 'one'")) is holds
    assert parsed == ["name == 'one'"]
    # A test of constants is asked each time.
    for _ in range(2):
        assert Templar(loader=DataLoader()).evaluate_conditional(
            trust_as_template("'/etc' is defined")
        )
    assert parsed.count("'/etc' is defined") == 2
    assert not compiled


FILE = """
- name: Ask for a file before and after it is written
  hosts: localhost
  gather_facts: false
  vars:
    found: "{{ 'PATH' is file }}"
  tasks:
    - name: Before
      ansible.builtin.debug:
        msg: "before={{ found }} {{ 'PATH' is file }}"
    - name: Write it
      ansible.builtin.copy:
        content: ""
        dest: PATH
        mode: "0600"
    - name: After
      ansible.builtin.debug:
        msg: "after={{ found }} {{ 'PATH' is file }}"
"""


def test_answer_of_a_constant_test_is_not_kept(tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(FILE.replace("PATH", str(tmp_path / "written")))
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            *(f"--extra-vars=ansible_python_interpreter={sys.executable}", playbook),
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_STRATEGY": "mlflow_ec2.aws.warm"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "before=False False" in done.stdout
    assert "after=True True" in done.stdout


@pytest.mark.parametrize("version", ["2.18.1", "2.20.0", "2.22.0"])
def test_templates_of_another_ansible_are_compiled_each_time(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(compiled_templates, "__version__", version)
    assert not compiled_templates.keep()
    render("{{ name }} twice", {})
    render("{{ name }} twice", {})
    assert compiled.count("{{ name }} twice") == 2


def test_templates_of_a_jinja_with_another_signature_are_compiled_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def compile_text(self: Environment, source: str) -> None:
        """Take something else."""

    monkeypatch.setattr(Environment, "compile", compile_text)
    assert not compiled_templates.keep()
