"""Names of Prometheus for what MLflow lets people name as they like.

The rules are stated in this directory's README.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# What comes from a metric's name starts with the first. No name can lead to the second, which has
# no underscore in that place.
METRIC_PREFIX = "mlflow_"
OWN_PREFIX = "mlflowexporter_"

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


@lru_cache(maxsize=4096)
def family_names(keys: tuple[str, ...]) -> Mapping[str, str]:
    """Name the family of each metric of one run.

    Parameters
    ----------
    keys
        The names of the run's metrics as MLflow has them, each once.

    Returns
    -------
    Mapping[str, str]
        As many different names of Prometheus as there are keys. Where several keys lead to one
        name, the key that is that name already keeps it; each other gets the first eight digits of
        its own SHA-256 appended. A key's name depends on the other keys of its run alone.
    """
    plain = {key: _NOT_IN_A_NAME.sub("_", key) for key in keys}
    claims: dict[str, int] = {}
    for name in plain.values():
        claims[name] = claims.get(name, 0) + 1
    names = {key: name for key, name in plain.items() if key == name or claims[name] == 1}
    taken = set(names.values())
    for key in sorted(plain.keys() - names.keys()):
        name = f"{plain[key]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        while name in taken:
            name += "_"
        names[key] = name
        taken.add(name)
    return {key: METRIC_PREFIX + names[key] for key in keys}


def tag_label(tag: str) -> str:
    """Name the label of a run's tag; ``model_type`` keeps its name, others begin with ``tag_``."""
    return tag if tag == "model_type" else "tag_" + _NOT_IN_A_NAME.sub("_", tag)
