"""Templates give the same when texts without a template are returned at once."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from ansible._internal._templating._engine import TemplateEngine
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import plain_texts

STOCK = inspect.unwrap(TemplateEngine.template)
VARIABLES = {
    "name": "one",
    "braces": trust_as_template("{{ '{{ name }}' }}"),
    "untrusted": "{{ name }}",
    "header": trust_as_template("#jinja2: trim_blocks: False\n{{ name }}"),
    "nested": trust_as_template("{{ name }}-{{ plain.texts | length }}"),
    "plain": {"texts": ["a", "b", trust_as_template("c")], "number": 1, "none": None},
    "mixed": [trust_as_template("{{ nested }}"), "text", {"key": trust_as_template("{{ name }}")}],
    "maybe": trust_as_template("{{ omit }}"),
}
TEMPLATES = [
    "{{ name }}",
    "{{ plain }}",
    "{{ plain.texts | join(', ') }} {{ plain.texts }}",
    "{{ mixed }}",
    "{{ braces }}",
    "{{ untrusted }}",
    "{{ header }}",
    "{{ [maybe, name] }}",
    "{{ {'a': mixed, 'b': untrusted, 'c': plain} }}",
    "{{ missing }}",
    "{{ name ~ missing.attribute }}",
    "{{ maybe }}",
    "plain",
    "",
]


@pytest.fixture(autouse=True)
def _stock_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with Ansible's own method. What replaces it ends with the test."""
    monkeypatch.setattr(TemplateEngine, "template", STOCK)


def described(data: Any) -> Any:
    """Return types, values and tags."""
    tags = sorted(repr(tag) for tag in getattr(data, "_ansible_tags_mapping", {}).values())
    if isinstance(data, dict):
        return {key: described(value) for key, value in data.items()}, tags
    if isinstance(data, list):
        return [described(value) for value in data], tags
    return type(data).__name__, tags, data


def render(value: Any) -> Any:
    """Return what a template gives, or the error."""
    templar = Templar(loader=DataLoader(), variables={**VARIABLES, "omit": "__omit__"})
    try:
        return described(templar.template(value))
    except Exception as error:  # noqa: BLE001  each error is compared
        return type(error).__name__, str(error)


VALUES = [trust_as_template(text) for text in TEMPLATES]


@pytest.mark.parametrize(
    "value", [*VALUES, VALUES[:9], {"a": VALUES[:3], "b": "text"}, "untrusted {{ name }}", None, 1]
)
def test_templates_give_what_ansible_gives(value: Any) -> None:
    stock = render(value)
    assert plain_texts.keep()
    assert TemplateEngine.template is not STOCK
    assert render(value) == stock


def test_text_within_a_template_is_not_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Any] = []

    def template(
        self: Any, variable: Any, *, options: Any = None, mode: Any = None, lazy_options: Any = None
    ) -> Any:
        rendered.append(variable)
        given = {"options": options, "mode": mode, "lazy_options": lazy_options}
        return STOCK(self, variable, **{name: value for name, value in given.items() if value})

    monkeypatch.setattr(TemplateEngine, "template", template)
    assert plain_texts.keep()
    assert plain_texts.keep()
    render(trust_as_template("{{ plain }}"))
    assert "{{ plain }}" in rendered
    assert not {"a", "b", "c"} & {value for value in rendered if isinstance(value, str)}


@pytest.mark.parametrize("version", ["2.18.1", "2.20.0", "2.22.0"])
def test_engine_of_another_ansible_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(plain_texts, "__version__", version)
    assert not plain_texts.keep()
    assert TemplateEngine.template is STOCK


def test_engine_of_another_signature_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def template(self: object, variable: object) -> None:
        """Take something else."""

    monkeypatch.setattr(TemplateEngine, "template", template)
    assert not plain_texts.keep()
    assert TemplateEngine.template is template
