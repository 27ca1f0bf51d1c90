#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: keep botocore's clients and what it has read for the tasks that follow."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: botocore_cache
short_description: Keep botocore's clients and what it has read for the tasks that follow
description:
  - Makes botocore look for and read the descriptions of AWS's services once. By default, it looks
    through hundreds of folders and reads megabytes of JSON again for each session, and so for each
    task.
  - Makes sessions with the same settings and the same permanent credentials share their clients,
    and with them the connections to AWS. Clients with credentials that botocore renews (SSO, an
    assumed role, the role of a host) are not shared.
  - Makes sessions share the present names of events, which botocore otherwise derives from their
    former names again for each session.
  - It has an effect only with strategy C(warm), where the interpreter continues after a task, and
    only with a botocore whose loaders have a cache each, and whose sessions create clients from the
    arguments that this module knows.
author:
  - MLflow on EC2 contributors
options: {}
requirements:
  - botocore
"""

EXAMPLES = r"""
- name: Read the descriptions of AWS's services once only
  mlflow_ec2.aws.botocore_cache: {}
"""

RETURN = r"""
kept:
  description: How many descriptions and lists of services this interpreter has kept so far.
  returned: always
  type: int
  sample: 0
clients:
  description: How many clients this interpreter has kept so far.
  returned: always
  type: int
  sample: 0
"""

import functools
import inspect
import os
from typing import Any, cast

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from botocore.credentials import Credentials
    from botocore.hooks import EVENT_ALIASES, EventAliaser
    from botocore.loaders import Loader
    from botocore.session import Session
except ImportError:
    Loader = None

# Those of botocore 1.44; another argument might make clients different.
_ARGUMENTS = (
    "self",
    "service_name",
    "region_name",
    "api_version",
    "use_ssl",
    "verify",
    "endpoint_url",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "config",
    "aws_account_id",
)
_ALIASER_ARGUMENTS = ("self", "event_emitter", "event_aliases")
# Where botocore has the present names of events.
_NAMES = "_alias_name_cache"
# What a configuration was made with.
_OPTIONS = "_user_provided_options"
_VARIABLES = ("AWS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_")


def keep() -> dict[tuple[Any, ...], dict[Any, Any]]:
    """Let the loaders of all sessions share a cache if they search the same folders.

    Sessions share what is kept then, as the clients of one session share it anyway: botocore does
    not change it.

    Returns
    -------
    dict
        For each list of folders, what a loader has found. It stays empty with a botocore for which
        this was not made.
    """
    shared = vars(Loader).get("_cache")
    if shared is not None:
        return cast("dict[tuple[Any, ...], dict[Any, Any]]", shared.fget.caches)
    caches: dict[tuple[Any, ...], dict[Any, Any]] = {}
    if vars(Loader()).get("_cache") != {}:
        return caches

    def cache(self: Any) -> dict[Any, Any]:
        # boto3 adds a folder to a loader that exists.
        key = (type(self.file_loader), *self.search_paths, None, *self.extras_types)
        return caches.setdefault(key, {})

    def ignore(self: Any, value: Any) -> None:
        """Let a loader's constructor set its own cache, which is not used."""

    cast("Any", cache).caches = caches
    Loader._cache = property(cache, ignore)  # noqa: SLF001 -- botocore has no option
    return caches


def keep_clients() -> dict[str, Any]:
    """Let sessions share a client if nothing that it depends on differs.

    Returns
    -------
    dict
        The clients. It stays empty with a botocore for which this was not made.
    """
    create = Session.create_client
    shared = getattr(create, "clients", None)
    if shared is not None:
        return cast("dict[str, Any]", shared)
    clients: dict[str, Any] = {}
    signature = inspect.signature(create)
    if tuple(signature.parameters) != _ARGUMENTS:
        return clients

    @functools.wraps(create)
    def create_client(*arguments: Any, **named: Any) -> Any:
        key = key_of(**signature.bind(*arguments, **named).arguments)
        if key is None:
            return create(*arguments, **named)
        if key not in clients:
            clients[key] = create(*arguments, **named)
        return clients[key]

    cast("Any", create_client).clients = clients
    Session.create_client = create_client
    # Two processes cannot use one TLS connection.
    os.register_at_fork(after_in_child=clients.clear)
    return clients


def keep_event_names() -> dict[str, str]:
    """Let sessions share the names of events, which follow from a table of botocore alone.

    Returns
    -------
    dict
        The present name by each name that was used. It stays empty with a botocore for which this
        was not made.
    """
    initialise = EventAliaser.__init__
    shared = getattr(initialise, "names", None)
    if shared is not None:
        return cast("dict[str, str]", shared)
    names: dict[str, str] = {}
    if tuple(inspect.signature(initialise).parameters) != _ALIASER_ARGUMENTS:
        return names
    if vars(EventAliaser(None)).get(_NAMES) != {}:
        return names

    @functools.wraps(initialise)
    def __init__(self: Any, event_emitter: Any, event_aliases: Any = None) -> None:  # noqa: N807
        initialise(self, event_emitter, event_aliases)
        # A copy, as each client has one, has a copy of the table.
        if event_aliases is None or event_aliases == EVENT_ALIASES:
            setattr(self, _NAMES, names)

    cast("Any", __init__).names = names
    EventAliaser.__init__ = __init__
    return names


def key_of(self: Any, config: Any = None, **arguments: Any) -> str | None:
    """Return all that a client of a session depends on; None for one that is not shared."""
    credentials = self.get_credentials()
    configs = [one for one in (config, self.get_default_client_config()) if one is not None]
    if type(credentials) is not Credentials or not all(map(_has_options, configs)):
        return None
    variables = [
        (name, value) for name, value in os.environ.items() if name.upper().startswith(_VARIABLES)
    ]
    return repr(
        [
            sorted(arguments.items()),
            [sorted(vars(one)[_OPTIONS].items()) for one in configs],
            sorted(variables),
            sorted(self.instance_variables().items()),
            self.full_config,
            credentials.get_frozen_credentials(),
        ]
    )


def _has_options(config: Any) -> bool:
    return _OPTIONS in vars(config)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    if Loader is None:
        module.fail_json(msg=missing_required_lib("botocore"))
    keep_event_names()
    module.exit_json(
        changed=False, kept=sum(map(len, keep().values())), clients=len(keep_clients())
    )


if __name__ == "__main__":
    main()
