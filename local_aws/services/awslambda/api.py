"""moto's Lambda with real instances behind its functions.

Stock moto runs a container of a downloaded image for each event, and only where Docker is. Beside
that, what careful clients notice:

- a function that could not run here (runtime, architecture, a broken zip) is refused at once;
- the VPC of a function is the one of its subnets (moto: ``vpc-123abc``);
- UpdateFunctionCode and UpdateFunctionConfiguration change everything that the request names;
- a function in a VPC has network interfaces there, which outlive it;
- a function's role has to trust Lambda, and to allow the interfaces of a function in a VPC;
- a function has states, in which calls are refused (`states`);
- events larger than 6 MB, and more at once than reserved, are refused;
- an event of type ``Event`` is answered before the function has run.
"""

from __future__ import annotations

import base64
import json
import threading
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.awslambda.exceptions import InvalidParameterValueException, LambdaClientError
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.ec2.models import ec2_backends

from local_aws.authorization.service_roles import FUNCTIONS, ServiceRoles
from local_aws.errors import LocalAwsError
from local_aws.patching import replace
from local_aws.services.awslambda import code
from local_aws.services.awslambda.interfaces import Interfaces
from local_aws.services.awslambda.pools import Functions, ThrottledError, check_runtime
from local_aws.services.awslambda.states import States

if TYPE_CHECKING:
    from moto.core.common_types import TYPE_RESPONSE

    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings

EVENT_BYTES = 6291456
ASYNC_EVENT_BYTES = 1048576
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
INTERFACE_ACTIONS = (
    "CreateNetworkInterface",
    "DescribeNetworkInterfaces",
    "DescribeSubnets",
    "DeleteNetworkInterface",
    "AssignPrivateIpAddresses",
    "UnassignPrivateIpAddresses",
)


class _RequestTooLargeError(LambdaClientError):
    code = 413

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            "RequestTooLargeException",
            f"{size} byte payload is too large for the RequestResponse invocation type "
            f"(limit {limit} bytes)",
        )


class _TooManyRequestsError(LambdaClientError):
    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


class _ServiceError(LambdaClientError):
    code = 500

    def __init__(self, message: str) -> None:
        super().__init__("ServiceException", message)


def apply(settings: Settings, podman: Podman) -> Functions:
    """Put real instances behind moto's functions."""
    states = States(settings)
    roles = ServiceRoles(settings)
    functions = Functions(settings, podman, states, roles)
    interfaces = Interfaces(roles, settings.lambda_interface_seconds)
    _patch_invocation(functions, states)
    _patch_creation(functions, interfaces, states, roles)
    _patch_updates(functions, interfaces, states, roles)
    _patch_description(states)
    return functions


def _patch_invocation(functions: Functions, states: States) -> None:
    def invoke(self: LambdaResponse) -> TYPE_RESPONSE:
        function = self.backend.get_function(
            unquote(self.path.split("?")[0].rsplit("/", 2)[-2]), self._get_param("Qualifier")
        )
        event = _event(self.body)
        kind = self.headers.get("X-Amz-Invocation-Type") or "RequestResponse"
        limit = ASYNC_EVENT_BYTES if kind == "Event" else EVENT_BYTES
        if len(event) > limit:
            raise _RequestTooLargeError(len(event), limit)
        headers = {
            "content-type": "application/json",
            "x-amzn-RequestId": str(uuid.uuid4()),
            "X-Amz-Executed-Version": str(function.version),
        }
        if kind == "DryRun":
            return 204, headers | {"status": "204"}, ""
        if kind == "Event":
            states.check_invocation(function)
            threading.Thread(target=_invoke_later, args=(functions, function, event)).start()
            return 202, headers | {"status": "202"}, ""
        try:
            outcome = functions.invoke(function, event)
        except ThrottledError:
            raise _TooManyRequestsError from None
        except LocalAwsError as error:
            raise _ServiceError(str(error)) from error
        if outcome.error is not None:
            headers["X-Amz-Function-Error"] = outcome.error
        if self.headers.get("X-Amz-Log-Type") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(outcome.log_tail.encode()).decode()
        return 200, headers, outcome.payload

    def invoke_for_a_service(
        self: LambdaFunction, event: str | None = None
    ) -> tuple[str, bool, str]:
        document = event if isinstance(event, str) else json.dumps(event or {})
        outcome = functions.invoke(self, document.encode())
        return outcome.payload.decode(), outcome.error is not None, outcome.log_tail

    replace(LambdaResponse, "invoke", invoke)
    replace(LambdaFunction, "_invoke_lambda", invoke_for_a_service)


def _patch_creation(
    functions: Functions, interfaces: Interfaces, states: States, roles: ServiceRoles
) -> None:
    create = LambdaBackend.create_function
    delete = LambdaBackend.delete_function

    def create_function(self: LambdaBackend, spec: dict[str, Any]) -> LambdaFunction:
        if spec.get("PackageType", "Zip") != "Zip":
            raise InvalidParameterValueException("Local AWS runs functions from zip files only.")
        wrong = check_runtime(spec.get("Runtime"), spec.get("Architectures") or ["x86_64"])
        if wrong is not None:
            raise InvalidParameterValueException(wrong)
        _check_role(roles, spec["Role"], spec.get("VpcConfig"), self.region_name)
        function = create(self, spec)
        try:
            _check_code(function)
            functions.prepare(function)
        except BaseException:
            delete(self, function.function_name)
            raise
        interfaces.update(function)
        states.created(function)
        return function

    def delete_function(
        self: LambdaBackend, function_name: str, qualifier: str | None = None
    ) -> None:
        function = self.get_function(function_name, qualifier)
        delete(self, function_name, qualifier)
        functions.retire(function.function_name, wait=True)
        interfaces.update(function)

    replace(LambdaBackend, "create_function", create_function)
    replace(LambdaBackend, "delete_function", delete_function)


def _patch_updates(
    functions: Functions, interfaces: Interfaces, states: States, roles: ServiceRoles
) -> None:
    update_code = LambdaFunction.update_function_code
    update_configuration = LambdaFunction.update_configuration

    def update_function_code(self: Any, updated_spec: dict[str, Any]) -> dict[str, Any]:
        states.check_update(self)
        architectures = updated_spec.get("Architectures") or self.architectures
        wrong = check_runtime(self.run_time, architectures)
        if wrong is not None:
            raise InvalidParameterValueException(wrong)
        if "ZipFile" in updated_spec:
            _check_archive(base64.b64decode(updated_spec["ZipFile"]))
        update_code(self, updated_spec)
        if not updated_spec.get("DryRun"):
            self.architectures = architectures
            functions.prepare(self)
            functions.retire(self.function_name, wait=False)
            states.updated(self)
        return self.get_configuration()

    def update_function_configuration(self: Any, config_updates: dict[str, Any]) -> dict[str, Any]:
        states.check_update(self)
        wrong = check_runtime(config_updates.get("Runtime", self.run_time), self.architectures)
        if wrong is not None:
            raise InvalidParameterValueException(wrong)
        _check_role(
            roles,
            config_updates.get("Role", self.role),
            config_updates.get("VpcConfig", self._vpc_config),
            self.region,
        )
        if "EphemeralStorage" in config_updates:
            self.ephemeral_storage = config_updates["EphemeralStorage"]["Size"]
        if "TracingConfig" in config_updates:
            self.tracing_config = config_updates["TracingConfig"]
        if "KMSKeyArn" in config_updates:
            self.kms_key_arn = config_updates["KMSKeyArn"]
        update_configuration(self, config_updates)
        functions.retire(self.function_name, wait=False)
        interfaces.update(self)
        states.updated(self)
        return self.get_configuration()

    replace(LambdaFunction, "update_function_code", update_function_code)
    replace(LambdaFunction, "update_configuration", update_function_configuration)


def _patch_description(states: States) -> None:
    get_configuration = LambdaFunction.get_configuration

    def configuration(self: LambdaFunction, on_create: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - moto's own arguments
        return get_configuration(self, on_create) | states.describe(self)

    def vpc_config(self: Any) -> dict[str, Any] | None:
        config = self._vpc_config
        if not config:
            return None
        subnets = config.get("SubnetIds", [])
        ec2 = ec2_backends[self.account_id][self.region]
        return {
            "SubnetIds": subnets,
            "SecurityGroupIds": config.get("SecurityGroupIds", []),
            "VpcId": ec2.get_subnet(subnets[0]).vpc_id if subnets else "",
            "Ipv6AllowedForDualStack": False,
        }

    replace(LambdaFunction, "get_configuration", configuration)
    replace(LambdaFunction, "vpc_config", property(vpc_config))


def _check_role(
    roles: ServiceRoles, role: str, network: dict[str, Any] | None, region: str
) -> None:
    if not roles.trusts(role, FUNCTIONS):
        raise InvalidParameterValueException(
            "The role defined for the function cannot be assumed by Lambda."
        )
    if not (network or {}).get("SubnetIds"):
        return
    for action in INTERFACE_ACTIONS:
        if not roles.allows(role, f"ec2:{action}", region=region):
            raise InvalidParameterValueException(
                f"The provided execution role does not have permissions to call {action} on EC2"
            )


def _invoke_later(functions: Functions, function: Any, event: bytes) -> None:
    """Run an asynchronous event; as on AWS, twice more if the function fails."""
    for _ in range(3):
        if functions.invoke(function, event).error is None:
            return


def _event(body: Any) -> bytes:
    event: bytes = body.encode() if isinstance(body, str) else bytes(body or b"")
    if not event:
        return b"{}"
    try:
        json.loads(event)
    except ValueError as error:
        raise LambdaClientError(
            "InvalidRequestContentException", f"Could not parse request body into json: {error}"
        ) from None
    return event


def _check_code(function: Any) -> None:
    _check_archive(function.code_bytes)


def _check_archive(archive: bytes) -> None:
    try:
        code.check(archive)
    except code.CodeError as error:
        raise InvalidParameterValueException(str(error)) from None
