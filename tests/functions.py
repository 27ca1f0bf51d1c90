"""What functions of local AWS are made of: a zip, and a role's trust policy."""

from __future__ import annotations

import io
import json
import zipfile


def archive(source: str, name: str = "code.py") -> bytes:
    """Return a zip with one module."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        member = zipfile.ZipInfo(name)
        member.external_attr = 0o644 << 16
        opened.writestr(member, source)
    return content.getvalue()


def trusting(service: str) -> str:
    """Return a trust policy that lets one service take a role."""
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": f"{service}.amazonaws.com"},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
