from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from .conftest import RunModule

MODULE = "lambda_function_info"


def test_function_is_read_with_names_of_variables_and_tags_unchanged(
    lambda_functions: dict[str, str], run_module: RunModule
) -> None:
    client = boto3.client("lambda")
    client.update_function_configuration(
        FunctionName="metrics", Environment={"Variables": {"DATABASE_HOST": "db"}}
    )
    client.tag_resource(Resource=lambda_functions["metrics"], Tags={"ManagedBy": "ansible"})
    function = run_module(MODULE, name="metrics")["function"]

    assert function["function_arn"] == lambda_functions["metrics"]
    assert function["environment"]["variables"] == {"DATABASE_HOST": "db"}
    assert function["tags"] == {"ManagedBy": "ansible"}


def test_function_that_does_not_exist_is_null(
    lambda_functions: dict[str, str], run_module: RunModule
) -> None:
    assert lambda_functions

    assert run_module(MODULE, name="missing")["function"] is None
