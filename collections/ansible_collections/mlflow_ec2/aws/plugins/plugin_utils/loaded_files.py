# SPDX-License-Identifier: Apache-2.0
"""Files that Ansible's loader parses once, and copies without copying what nobody can change.

Ansible parses the files of ``vars_files`` again for each task of their play, and copies each file
of a role with ``copy.deepcopy``, which rebuilds every text with the place where it was read.
"""

from __future__ import annotations

import copy
import functools
import inspect
from pathlib import Path
from typing import Any

from ansible.module_utils._internal import _datatag
from ansible.parsing.dataloader import DataLoader
from ansible.release import __version__

# The releases for which this was made, and the parameters of the loader's method in them.
RELEASES = {"2.19", "2.21"}
LOAD_PARAMETERS = ["self", "file_name", "cache", "unsafe", "json_only", "trusted_as_template"]
# Where a loader has what was parsed of its files.
_KEPT = "_mlflow_ec2_kept"
# Nobody can change values of these types, also those that carry their origin.
_LEAVES = frozenset(
    {type(None), bool, int, float, str}
    | {getattr(_datatag, f"_AnsibleTagged{name}", str) for name in ("Int", "Float", "Str")}
)
_TAGGED_DICT = getattr(_datatag, "_AnsibleTaggedDict", dict)
_TAGGED_LIST = getattr(_datatag, "_AnsibleTaggedList", list)


def keep() -> bool:
    """Let Ansible's loader keep files of ``vars_files`` that do not change, and copy faster.

    Return whether the loader's method was replaced: not with a release for which this was not
    made. ``ANSIBLE_STRATEGY=linear ANSIBLE_CACHE_PLUGIN=memory`` does without.
    """
    load = DataLoader.load_from_file
    if ".".join(__version__.split(".")[:2]) not in RELEASES:
        return False
    if list(inspect.signature(load).parameters) != LOAD_PARAMETERS:
        return False
    if hasattr(load, "__wrapped__"):  # by an earlier play
        return True

    @functools.wraps(load)
    def load_from_file(
        self: DataLoader,
        file_name: str,
        cache: str = "all",
        unsafe: bool = False,  # noqa: FBT001, FBT002  as in the original
        *arguments: Any,
        **options: Any,
    ) -> Any:
        if not unsafe:
            return copied(load(self, file_name, cache, True, *arguments, **options))  # noqa: FBT003
        # Only the files of `vars_files` are asked for in this way, and nobody changes their data.
        path = Path(self.path_dwim(file_name))
        if cache != "vaulted" or arguments or not path.is_file():
            return load(self, file_name, cache, unsafe, *arguments, **options)
        state = path.stat()
        key = (path, state.st_mtime_ns, state.st_size, state.st_ino, *sorted(options.items()))
        kept = vars(self).setdefault(_KEPT, {})
        if key not in kept:
            kept[key] = load(self, file_name, cache, unsafe, **options)
        return kept[key]

    DataLoader.load_from_file = load_from_file
    return True


def copied(data: Any, copies: dict[int, Any] | None = None) -> Any:
    """Return what ``copy.deepcopy`` returns for parsed YAML, with the same texts and numbers.

    Parameters
    ----------
    copies
        Containers that were copied already, by their id: aliases of YAML share one.
    """
    kind = type(data)
    if kind in _LEAVES:
        return data
    if copies is None:
        copies = {}
    if id(data) in copies:
        return copies[id(data)]
    if kind in (dict, _TAGGED_DICT):
        filled: Any = {key: copied(value, copies) for key, value in data.items()}
    elif kind in (list, _TAGGED_LIST):
        filled = [copied(value, copies) for value in data]
    else:
        filled = copy.deepcopy(data)
        copies[id(data)] = filled
        return filled
    if kind not in (dict, list):
        filled = _datatag.AnsibleTagHelper.tag_copy(data, filled)
    copies[id(data)] = filled
    return filled
