"""Text files as the editors and spreadsheets of all systems write them."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from football.errors import BadInputError, why

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 256 * 1024**2
# UTF-32's mark begins with that of UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CURE = "Save the file as UTF-8 (in a spreadsheet: the format 'CSV UTF-8')"


def read(path: Path) -> tuple[bytes, str]:
    """Read a text file in UTF-8, or in an encoding that its byte order mark names.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple[bytes, str]
        The content as it is, and as text without a byte order mark.

    Raises
    ------
    BadInputError
        If it cannot be read, is too large or is not text; names the file, the line and the cure.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            content = file.read(MOST_BYTES + 1) if size <= MOST_BYTES else b""
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"{path} cannot be read: {why(error)}. Check the path and its permissions"
        ) from None
    if max(size, len(content)) > MOST_BYTES:
        raise BadInputError(
            f"{path} is larger than {MOST_BYTES // 1024**2} MiB. Give a smaller file"
        )
    mark, encoding = next(
        ((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8")
    )
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        before = content[len(mark) : len(mark) + error.start].decode(encoding, "replace")
        raise BadInputError(
            f"{path}, line {line_of(before, len(before))}: not valid {encoding.upper()} "
            f"({error.reason}). {_CURE}"
        ) from None
    text = text.lstrip("\ufeff")
    if (place := text.find("\0")) >= 0:
        raise BadInputError(f"{path}, line {line_of(text, place)}: a NUL character. {_CURE}")
    return content, text


def line_of(text: str, place: int) -> int:
    """Return the number of the line at a place; CR, LF and CRLF end lines."""
    return len(re.findall(r"\r\n?|\n", text[:place])) + 1
