# SPDX-License-Identifier: Apache-2.0
"""Tags of resources, as modules with the options ``tags`` and ``purge_tags`` change them."""

from __future__ import annotations

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.tagging import compare_aws_tags


def wanted_tags(
    current: dict[str, str], tags: dict[str, Any] | None, *, purge: bool
) -> dict[str, str]:
    """Return the tags that a resource is to have.

    Parameters
    ----------
    current
        The tags that it has.
    tags
        Those of the task; None leaves them as they are.
    purge
        Whether tags that the task does not name are removed.
    """
    if tags is None:
        return dict(current)
    texts = {key: str(value) for key, value in tags.items()}
    to_set, to_unset = compare_aws_tags(current, texts, purge)
    kept = {key: value for key, value in current.items() if key not in to_unset}
    return {**kept, **to_set}
