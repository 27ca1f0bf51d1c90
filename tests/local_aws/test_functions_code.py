from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from local_aws.services.awslambda import code

if TYPE_CHECKING:
    from pathlib import Path


def archive(**files: tuple[bytes, int]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, (text, mode) in files.items():
            member = zipfile.ZipInfo(name.replace("__", "/"))
            member.external_attr = mode << 16
            opened.writestr(member, text)
    return content.getvalue()


def test_same_content_is_unpacked_once(tmp_path: Path) -> None:
    first = code.unpack(tmp_path, [archive(a=(b"1", 0o644))])
    assert code.unpack(tmp_path, [archive(a=(b"1", 0o644))]) == first
    assert list(tmp_path.iterdir()) == [first]


def test_later_layer_overrides_earlier_ones(tmp_path: Path) -> None:
    layers = [
        archive(python__a=(b"1", 0o644), python__b=(b"1", 0o644)),
        archive(python__b=(b"2", 0o644)),
    ]
    folder = code.unpack(tmp_path, layers) / "python"
    assert ((folder / "a").read_text(), (folder / "b").read_text()) == ("1", "2")


def test_modes_are_those_of_the_zip(tmp_path: Path) -> None:
    folder = code.unpack(
        tmp_path, [archive(run=(b"", 0o755), secret=(b"", 0o600), d__x=(b"", 0o644))]
    )
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"run": 0o755, "secret": 0o600, "d": 0o755}


def test_member_cannot_leave_the_folder(tmp_path: Path) -> None:
    code.unpack(tmp_path / "in", [archive(**{"..__..__out": (b"", 0o644)})])
    assert not (tmp_path / "out").exists()


def test_code_that_is_not_a_zip_is_refused() -> None:
    with pytest.raises(code.CodeError, match="unzip"):
        code.check(b"no zip")


def test_zip_above_the_size_limit_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("big", bytes(code.UNPACKED_BYTES + 1))
    with pytest.raises(code.CodeError, match="smaller"):
        code.check(content.getvalue())
