"""The parameters of a call, parsed by botocore's model of the operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol

if TYPE_CHECKING:
    from moto.core.model import OperationModel
    from moto.core.responses import BaseResponse


def parameters(
    response: BaseResponse, operation: OperationModel, url_parameters: Any = None
) -> dict[str, Any]:
    """Return what is asked, by the names of the model.

    Parameters
    ----------
    url_parameters
        Parameters in the path; by default those that moto parsed.
    """
    request: Any = response.normalized_request
    protocol = determine_request_protocol(operation.service_model, request.content_type)
    parsed: dict[str, Any] | None = PROTOCOL_PARSERS[protocol](operation, map_type=dict).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": response.uri_match if url_parameters is None else url_parameters,
        }
    )
    return parsed or {}
