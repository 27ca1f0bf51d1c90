"""Lambda: every function runs in containers of its own."""

from local_aws.functions.api import apply
from local_aws.functions.pools import Functions, ThrottledError

__all__ = ["Functions", "ThrottledError", "apply"]
