# SPDX-License-Identifier: Apache-2.0
"""Texts without a template, returned as they are.

While Ansible renders a template, it sets up a context for each text that it meets in variables,
such as those of an environment, and finds out afterwards that there is nothing to render.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from ansible.release import __version__

# The releases for which this was made, and the parameters of the engine's method in them.
RELEASES = {"2.19", "2.21"}
TEMPLATE_PARAMETERS = ["self", "variable", "options", "mode", "lazy_options"]


def keep() -> bool:
    """Let Ansible return texts without a template at once, if a template contains them.

    Return whether Ansible's method was replaced: not with a release for which this was not made.
    ``ANSIBLE_STRATEGY=linear`` does without.
    """
    if ".".join(__version__.split(".")[:2]) not in RELEASES:
        return False
    from ansible._internal._templating import _engine, _jinja_bits, _utils  # noqa: PLC0415
    from ansible.module_utils._internal import _datatag  # noqa: PLC0415

    template = _engine.TemplateEngine.template
    if list(inspect.signature(template).parameters) != TEMPLATE_PARAMETERS:
        return False
    if hasattr(template, "__wrapped__"):  # by an earlier play
        return True
    texts = (str, _datatag._AnsibleTaggedStr)  # noqa: SLF001 -- Ansible has no option
    default_options, default_mode = (
        _engine.TemplateOptions.DEFAULT,
        _engine.TemplateMode.DEFAULT,
    )
    contains_template, context = _jinja_bits.is_possibly_template, _utils.TemplateContext

    @functools.wraps(template)
    def template_unless_plain(self: Any, variable: Any, **options: Any) -> Any:
        if (
            type(variable) in texts
            and options.get("options", default_options) is default_options
            and options.get("mode", default_mode) is default_mode
            and not contains_template(variable)
            # The outermost one also looks for what must not leave a template.
            and context.current(optional=True)
        ):
            return variable
        return template(self, variable, **options)

    _engine.TemplateEngine.template = template_unless_plain
    return True
