"""Start recording when the interpreter starts (imported by ``aws_transcript.pth``).

Tasks of a playbook run in processes of their own. Every interpreter of the virtual environment
reads the ``.pth`` file, so that each of them records, with Mitogen and without it.
"""

from __future__ import annotations

import os
import sys

from aws_transcript import recording

try:
    recording.start()
except OSError as error:
    path = os.environ[recording.VARIABLE]
    print(
        f"{recording.VARIABLE}: {path} is not a valid transcript: {error.strerror}. "
        "Name a file in a directory that you may write to, or unset the variable.",
        file=sys.stderr,
        flush=True,
    )
    # An exception here would be reported as a broken .pth file, and the run would go on.
    os._exit(2)
