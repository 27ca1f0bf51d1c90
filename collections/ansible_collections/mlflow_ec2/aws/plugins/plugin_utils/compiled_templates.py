# SPDX-License-Identifier: Apache-2.0
"""Compiled templates, kept for the next time that Ansible renders the same text.

Ansible compiles the text of a variable again for each task that reads it, such as the address of
the server or the environment of all tasks of AWS, and a condition for each task that has it.
"""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass, field
from typing import Any

from ansible.release import __version__
from jinja2 import Environment, nodes
from jinja2.environment import TemplateExpression
from jinja2.parser import Parser

# The releases for which this was made, and the parameters of Jinja's method in them.
RELEASES = {"2.19", "2.21"}
COMPILE_PARAMETERS = ["self", "source", "name", "filename", "raw", "defer_init"]
EXPRESSION_PARAMETERS = ["self", "source", "undefined_to_none"]
# What a text has that calls a filter or a test.
CALL = re.compile(r"\||\b(?:is|filter)\b")
# More than the playbooks have; a text is forgotten after as many others.
KEPT = 4096


def keep() -> bool:
    """Let Ansible compile each text of a template once.

    Return whether Ansible's method was replaced: not with a release for which this was not made.
    ``ANSIBLE_STRATEGY=linear`` does without.
    """
    if not is_known():
        return False
    from ansible._internal._templating import _jinja_bits as ansible_jinja  # noqa: PLC0415

    environment = ansible_jinja.AnsibleEnvironment
    compile_text = environment.compile
    if hasattr(compile_text, "__wrapped__"):  # by an earlier play
        return True
    compiled = _Compiled(
        ansible_jinja._TEMPLATE_OVERRIDE_FIELD_NAMES,  # noqa: SLF001 -- Ansible has no option
        ansible_jinja._TemplateCompileContext,  # noqa: SLF001
        ansible_jinja._CompileStateSmugglingCtx,  # noqa: SLF001
    )
    environment.compile = _compile_once(compiled, compile_text)
    environment.compile_expression = _compile_expression_once(
        compiled, environment.compile_expression
    )
    return True


@dataclass(frozen=True)
class _Compiled:
    """The code of texts.

    Attributes
    ----------
    settings
        The names of an environment's attributes on which the code depends.
    context, debugs
        Ansible's contexts of what is being compiled.
    code
        By what the code depends on.
    latest
        What was compiled last, for an expression, which Jinja parses into nodes.
    """

    settings: Any
    context: Any
    debugs: Any
    code: dict[Any, Any] = field(default_factory=dict)
    latest: list[Any] = field(default_factory=list)

    def key(self, environment: Environment, kind: str, source: str) -> Any:
        """Return what the code of a text depends on."""
        active = self.context.current(optional=True)
        escapes = active.escape_backslashes if active else None
        values = [getattr(environment, name) for name in self.settings]
        # A text that carries its origin is a str of another type, and equal.
        return kind, str(source), type(environment), escapes, *values

    def keep(self, key: Any, code: Any) -> None:
        """Keep code, and forget the oldest of more than ``KEPT``."""
        if len(self.code) >= KEPT:
            del self.code[next(iter(self.code))]
        self.code[key] = code


def _compile_once(compiled: _Compiled, compile_text: Any) -> Any:
    @functools.wraps(compile_text)
    def compile_once(self: Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        if (
            not isinstance(source, str)
            or arguments
            or options
            or compiled.debugs.current(optional=True)
        ):
            code = compile_text(self, source, *arguments, **options)
            compiled.latest[:] = [code]
            return code
        key = compiled.key(self, "template", source)
        if key not in compiled.code:
            code = compile_text(self, source)
            if has_constant_calls(self, source):
                return code
            compiled.keep(key, code)
        return compiled.code[key]

    return compile_once


def _compile_expression_once(compiled: _Compiled, compile_expression: Any) -> Any:
    @functools.wraps(compile_expression)
    def compile_expression_once(
        self: Environment,
        source: str,
        undefined_to_none: bool = True,  # noqa: FBT001, FBT002  as in the original
    ) -> Any:
        if compiled.debugs.current(optional=True):
            return compile_expression(self, source, undefined_to_none)
        key = compiled.key(self, "expression", source)
        if key in compiled.code:
            variables = self.make_globals(None)
            template = self.template_class.from_code(self, compiled.code[key], variables, None)
            return TemplateExpression(template, undefined_to_none)
        compiled.latest.clear()
        expression = compile_expression(self, source, undefined_to_none)
        if compiled.latest and not has_constant_calls(self, source, is_expression=True):
            compiled.keep(key, compiled.latest[0])
        return expression

    return compile_expression_once


def is_known() -> bool:
    """Return whether this was made for the installed releases of Ansible and Jinja."""
    release = ".".join(__version__.split(".")[:2])
    methods = (Environment.compile, Environment.compile_expression)
    parameters = [list(inspect.signature(method).parameters) for method in methods]
    return release in RELEASES and parameters == [COMPILE_PARAMETERS, EXPRESSION_PARAMETERS]


def has_constant_calls(
    environment: Environment, source: str, *, is_expression: bool = False
) -> bool:
    """Return whether Jinja calls a filter or a test while it compiles the text.

    It does so if the call reads no variable, such as ``{{ '/etc/hosts' is file }}``. The answer is
    then a part of the code, and might be another one the next time.
    """
    if not CALL.search(source):
        return False
    if is_expression:
        # As Jinja itself parses one.
        parsed = Parser(environment, source, state="variable").parse_expression()
        tree: nodes.Node = nodes.Output([parsed])
    else:
        tree = environment.parse(source)
    calls = tree.find_all((nodes.Filter, nodes.Test))
    return any(next(call.find_all(nodes.Name), None) is None for call in calls)
