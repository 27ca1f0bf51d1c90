# SPDX-License-Identifier: Apache-2.0
"""Places of plug-ins and modules, kept for the next task that uses them.

Ansible looks for a plug-in of a collection again each time that a task names it, a dozen times per
task: it reads the routing of the collection and searches its folder.
"""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

from ansible.plugins.loader import PluginLoadContext, PluginLoader
from ansible.release import __version__

# The releases for which this was made, and the parameters of the loader's method in them.
RELEASES = {"2.19", "2.21"}
FIND_PARAMETERS = [
    *("self", "name", "mod_type", "ignore_deprecated", "check_aliases", "collection_list")
]
# Names that depend on the folders beside a playbook or a role.
_LEGACY = "ansible.legacy."


def keep() -> bool:
    """Let Ansible search once for each plug-in that is named with its collection.

    Return whether the loader's method was replaced: not with a release for which this was not
    made. ``ANSIBLE_STRATEGY=linear`` does without.
    """
    find = PluginLoader.find_plugin_with_context
    if ".".join(__version__.split(".")[:2]) not in RELEASES:
        return False
    if list(inspect.signature(find).parameters) != FIND_PARAMETERS:
        return False
    if hasattr(find, "__wrapped__"):  # by an earlier play
        return True
    kept: dict[Any, PluginLoadContext] = {}

    @functools.wraps(find)
    def find_once(self: PluginLoader, name: str, *arguments: Any, **options: Any) -> Any:
        # A list of collections is a part of the key like all else.
        key = (self, name, repr(arguments), repr(sorted(options.items())))
        if key in kept:
            return _copied(kept[key])
        found = find(self, name, *arguments, **options)
        if _is_certain(name, found):
            kept[key] = _copied(found)
        return found

    PluginLoader.find_plugin_with_context = find_once
    return True


def _is_certain(name: str, found: PluginLoadContext) -> bool:
    """Return whether the next search finds the same, and has nothing to report."""
    return (
        name.count(".") > 1
        and not name.startswith(_LEGACY)
        and found.resolved
        and found.plugin_resolved_path is not None
        and found.redirect_list == [name]
        and not found.deprecated
        and not found.raw_error_list
    )


def _copied(found: PluginLoadContext) -> PluginLoadContext:
    """Return the same with lists of its own, because a caller may add to them."""
    result = copy.copy(found)
    lists = {key: list(value) for key, value in vars(found).items() if isinstance(value, list)}
    vars(result).update(lists)
    return result
