"""Run one statement on a connection of MLflow's own pool, as a transaction of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2
from sqlalchemy.exc import SQLAlchemyError

from mlflow_host.logs import current

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine


class RefusedError(Exception):
    """The database has not carried out a statement, so MLflow can repeat it."""


class UnknownOutcomeError(Exception):
    """The connection broke, so it is not known whether a statement was carried out."""


@dataclass(frozen=True)
class Database:
    """MLflow's database.

    Attributes
    ----------
    engine
        The engine of MLflow's store, whose pool limits the connections.
    """

    engine: Engine

    def first(self, statement: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Return the first row of a statement, which is committed by then; None without rows.

        Raises
        ------
        RefusedError
            If nothing was carried out.
        UnknownOutcomeError
            If the connection broke.
        """
        request = current.get()
        if request:
            statement = f"{statement} /*request_id='{request.id}'*/"
        try:
            connection = self.engine.raw_connection()
        except SQLAlchemyError as error:
            raise RefusedError from error
        driver: Any = connection.driver_connection
        try:
            driver.autocommit = True
            with driver.cursor() as cursor:
                cursor.execute(statement, values)
                row: tuple[Any, ...] | None = cursor.fetchone()
            driver.autocommit = False
        except psycopg2.Error as error:
            if driver.closed:
                connection.invalidate(error)
                raise UnknownOutcomeError from error
            driver.autocommit = False
            raise RefusedError from error
        except ValueError as error:
            # A text that is not valid in UTF-8.
            driver.autocommit = False
            raise RefusedError from error
        finally:
            connection.close()
        return row
