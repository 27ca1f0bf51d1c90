"""The services of AWS, one folder each: real resources, departures from moto, limits, permissions.

In each folder, as far as the service has it:

- `api` (API Gateway: `gateway`) puts real resources behind moto;
- `limits` has what AWS documents as invalid, and local AWS refuses;
- `permissions` has what a call needs permission for, beside the tables in `authorization.needs`;
- every other module that has a function `apply` is one departure from moto, listed in
  `local_aws.departures`;
- the rest serves these.

Modules that concern all services are outside: `authorization`, `consistency`, `departures`,
`limits`.
"""
