# SPDX-License-Identifier: Apache-2.0
"""Compiled templates, kept for the next time that Ansible renders the same text.

Ansible compiles the text of a variable again for each task that reads it, such as the address of
the server or the environment of all tasks of AWS.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from ansible.release import __version__
from jinja2 import Environment, nodes

# The releases for which this was made, and the parameters of Jinja's method in them.
RELEASES = {"2.19", "2.21"}
COMPILE_PARAMETERS = ["self", "source", "name", "filename", "raw", "defer_init"]
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
    settings = ansible_jinja._TEMPLATE_OVERRIDE_FIELD_NAMES  # noqa: SLF001 -- Ansible has no option
    context = ansible_jinja._TemplateCompileContext  # noqa: SLF001
    debugs = ansible_jinja._CompileStateSmugglingCtx  # noqa: SLF001
    kept: dict[Any, Any] = {}

    @functools.wraps(compile_text)
    def compile_once(self: Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(source, str) or arguments or options or debugs.current(optional=True):
            return compile_text(self, source, *arguments, **options)
        active = context.current(optional=True)
        escapes = active.escape_backslashes if active else None
        # A text that carries its origin is a str of another type, and equal.
        key = (str(source), type(self), escapes, *(getattr(self, name) for name in settings))
        if key not in kept:
            code = compile_text(self, source)
            if has_constant_calls(self, source):
                return code
            if len(kept) >= KEPT:
                del kept[next(iter(kept))]
            kept[key] = code
        return kept[key]

    environment.compile = compile_once
    return True


def is_known() -> bool:
    """Return whether this was made for the installed releases of Ansible and Jinja."""
    release = ".".join(__version__.split(".")[:2])
    return release in RELEASES and list(inspect.signature(Environment.compile).parameters) == (
        COMPILE_PARAMETERS
    )


def has_constant_calls(environment: Environment, source: str) -> bool:
    """Return whether Jinja calls a filter or a test while it compiles the text.

    It does so if the call reads no variable, such as ``{{ '/etc/hosts' is file }}``. The answer is
    then a part of the code, and might be another one the next time.
    """
    calls = environment.parse(source).find_all((nodes.Filter, nodes.Test))
    return any(next(call.find_all(nodes.Name), None) is None for call in calls)
