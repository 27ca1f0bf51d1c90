"""API Gateway's HTTP APIs: requests to their endpoints reach the functions.

What moto lacks of the control plane lies with the other departures (`departures/http_api_*`).
"""

from local_aws.http_api.gateway import Gateway

__all__ = ["Gateway"]
