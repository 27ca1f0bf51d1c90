"""Objects that nobody needs any more are given back to memory.

moto remembers every instance of every model for as long as it runs, so that a reset can find them
all: deleted objects, copies made for a listing, log entries. Local AWS has no reset, and runs for
days. The files of S3 objects go with their last user, too, and so not before this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.common_models import BaseModel

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Make instances as Python does."""
    del settings

    def create(cls: type, *_arguments: Any, **_named: Any) -> Any:
        return object.__new__(cls)

    replace(BaseModel, "__new__", create)
