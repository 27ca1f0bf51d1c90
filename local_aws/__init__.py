"""Local AWS: an AWS endpoint on loopback whose resources are real.

moto answers the API; what moto leaves out (hosts, PostgreSQL, functions, HTTP APIs) is added here
as containers of podman. Nothing here knows the product, and the product does not know of it.
"""

__version__ = "0.1.0"
