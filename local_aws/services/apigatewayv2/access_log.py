"""A stage's access log, in CloudWatch Logs."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from moto.core.utils import unix_time_millis
from moto.logs.models import logs_backends

if TYPE_CHECKING:
    from collections.abc import Mapping


def line(template: str, values: Mapping[str, object]) -> str:
    """Return the entry for `template`, whose ``$context.name`` stand for `values`."""
    return re.sub(
        r"\$context\.([A-Za-z][A-Za-z0-9.]*)",
        lambda found: str(values.get(found[1], "-")),
        template,
    )


def write(settings: Mapping[str, Any], account: str, values: Mapping[str, object]) -> None:
    """Write one entry, if the log group that `settings` name exists."""
    _, _, _, region, _, _, group, *_ = settings["destinationArn"].split(":")
    backend = logs_backends[account][region]
    if group not in backend.groups:
        return
    stream = time.strftime("%Y-%m-%d", time.gmtime())
    if stream not in backend.groups[group].streams:
        backend.create_log_stream(group, stream)
    entry = {"timestamp": int(unix_time_millis()), "message": line(settings["format"], values)}
    backend.put_log_events(group, stream, [entry])
