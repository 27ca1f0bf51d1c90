from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aws_transcript.placeholders import Placeholders
from aws_transcript.scrubbing import Scrubber

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scrubber(tmp_path: Path) -> Scrubber:
    return Scrubber(Placeholders(tmp_path / "placeholders"))
