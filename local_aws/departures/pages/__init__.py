"""Lists are answered page by page, and a page begins behind the last item of the one before.

moto answers many lists at once that AWS answers in pages (instance profiles, functions, HTTP APIs,
nearly all of EC2). The token of its other pages is a number of items, or the item with which the
next page begins: while the listed items are being deleted, it skips items or fails. AWS goes on
from a position: https://docs.aws.amazon.com/IAM/latest/UserGuide/iam-quotas.html has the sizes of
IAM's pages, `listings` those of the other services.

The teardown and the auditors need it: a program that reads only the first page is right on an empty
account and wrong on a full one.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from botocore.exceptions import UnknownServiceError
from botocore.session import get_session
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse, PaginatedResult
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import get_service_model
from moto.logs.models import LogsBackend

from local_aws.departures.pages.listings import LISTINGS
from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.model import Shape, StructureShape

    from local_aws.departures.pages.listings import Listing
    from local_aws.settings import Settings

_ALL = 1_000_000_000
_PICK = XFormedAttributePicker()


class InvalidTokenError(ServiceException):
    """A token that no page has ended with."""

    def __init__(self, token: str) -> None:
        """Answer as most services do."""
        super().__init__("InvalidParameterValue", f"The token '{token}' is invalid")


@dataclass(frozen=True)
class _Page:
    """The page of a list that a request asks for."""

    listing: Listing
    names: dict[str, str]
    item: Shape
    # Name of the list in the answer of the service's protocol, and of the token for the next page.
    key: str
    next_key: str
    size: int
    after: list[str] | None

    def cut(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return an answer that holds all items with those of this page, and the next token."""
        items = list(answer[self.key])
        rest = {key: value for key, value in answer.items() if key != self.next_key}
        if self.after is not None or len(items) > self.size:
            # A short list stays in moto's order.
            placed = sorted(((self.position(item), item) for item in items), key=itemgetter(0))
            items = [item for place, item in placed if self.after is None or place > self.after]
        more = len(items) > self.size
        if "more_results" in self.names:
            rest[self.names["more_results"]] = more
        rest[self.key] = items[: self.size]
        if more:
            rest[self.next_key] = _token(self.position(items[self.size - 1]))
        return rest

    def position(self, item: Any) -> list[str]:
        """Return where an item is in the list."""
        if isinstance(item, str):
            return [item]
        return [_member(item, name, self.item) for name in self.listing.position]


def apply(settings: Settings) -> None:
    """Let moto answer with all items, and pass one page on."""
    del settings

    def call_action(self: BaseResponse) -> Any:
        service, operation = self.boto3_service_name, self._get_action()
        listing = LISTINGS.get((service, operation))
        if listing is None:
            return call_whole_action(self)
        try:
            page = _asked(self, listing, operation)
        except InvalidTokenError as error:
            return self.serialized(ActionResult(error))
        self._page = page  # type: ignore[attr-defined]
        status, headers, body = call_whole_action(self)
        if _is_json(service) and int(status) < 300:  # noqa: PLR2004 - success
            body = json.dumps(page.cut(json.loads(body)))
        return status, headers, body

    def serialized(self: BaseResponse, action_result: ActionResult) -> Any:
        page: _Page | None = getattr(self, "_page", None)
        if isinstance(action_result, PaginatedResult) and page:
            action_result = ActionResult(action_result.result)
        if page and isinstance(action_result.result, dict):
            action_result = ActionResult(page.cut(action_result.result))
        return serialize_whole(self, action_result)

    call_whole_action: Callable[[BaseResponse], Any] = replace(
        BaseResponse, "call_action", call_action
    )
    serialize_whole = replace(BaseResponse, "serialized", serialized)

    # It takes no more than 50 at a time, whoever asks.
    all_groups = LogsBackend.describe_log_groups.__wrapped__  # type: ignore[attr-defined]

    def describe_log_groups(
        self: LogsBackend, log_group_name_prefix: str | None = None, **_page: Any
    ) -> tuple[list[Any], None]:
        return all_groups(self, log_group_name_prefix), None

    replace(LogsBackend, "describe_log_groups", describe_log_groups)


def _asked(response: Any, listing: Listing, operation: str) -> _Page:
    """Return the page that a request asks for, and have moto answer with all of them."""
    service = response.boto3_service_name
    is_json = _is_json(service)
    model = get_service_model(service).operation_model(operation)
    names = _pagination(service, operation)
    token_name, limit_name = (
        _wire_name(model.input_shape, names[kind], is_json=is_json)
        for kind in ("input_token", "limit_key")
    )
    token = response._get_param(token_name)  # noqa: SLF001 - as moto's own do
    limit = response._get_param(limit_name)  # noqa: SLF001 - as above
    _ask_for_all(response, token_name, limit_name)
    item = model.output_shape.members[names["result_key"]].member
    return _Page(
        listing=listing,
        names=names,
        item=item,
        key=_wire_name(model.output_shape, names["result_key"], is_json=is_json),
        next_key=_wire_name(model.output_shape, names["output_token"], is_json=is_json),
        size=min(int(limit or listing.default), listing.maximum),
        after=_position(str(token)) if token else None,
    )


def _ask_for_all(response: Any, token_name: str, limit_name: str) -> None:
    """Change the parameters of a request, wherever moto looks them up."""
    service = response.boto3_service_name
    if service == "rds":
        # Its pages are made of the answer, see `serialized`.
        return
    # moto refuses a number beside ids, and any above 50 for log groups.
    has_limit = service != "logs" and "InstanceId.1" not in response.querystring
    content = json.loads(response.body) if _is_json(service) and response.body else {}
    for parameters, every in (
        (response.querystring, [str(_ALL)]),
        (response.params if response.automated_parameter_parsing else {}, _ALL),
        (content, _ALL),
    ):
        parameters.pop(token_name, None)
        parameters.pop(limit_name, None)
        if has_limit:
            parameters[limit_name] = every
    if content:
        response.body = json.dumps(content)


def _is_json(service: str) -> bool:
    return "json" in str(get_service_model(service).protocol)


@cache
def _pagination(service: str, operation: str) -> dict[str, str]:
    """Return how botocore's paginator of an operation calls token, limit and list."""
    session = get_session()
    try:
        found: dict[str, Any] = session.get_paginator_model(service).get_paginator(operation)
    except (UnknownServiceError, ValueError) as error:
        raise KeyError(f"{service}:{operation} is not an operation with pages") from error
    first = found["result_key"]
    return {**found, "result_key": first[0] if isinstance(first, list) else first}


def _wire_name(shape: StructureShape, member: str, *, is_json: bool) -> str:
    """Return how moto calls a member of a request or an answer.

    Of JSON it makes and reads the text itself; else it knows the members of botocore's model.
    """
    name: str = shape.members[member].serialization.get("name", member) if is_json else member
    return name


def _member(item: Any, name: str, shape: Shape) -> str:
    """Return a member of an item, which moto keeps as object or as it is answered."""
    if isinstance(item, dict) and name not in item:
        folded = {key.lower(): value for key, value in item.items()}
        if name.lower() in folded:
            return str(folded[name.lower()])
    return str(_PICK(AttributePickerContext(item, name, shape)))


def _token(position: list[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _position(token: str) -> list[str]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise InvalidTokenError(token) from None
    if not isinstance(found, list):
        raise InvalidTokenError(token)
    return [str(part) for part in found]
