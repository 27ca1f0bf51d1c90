"""Run MLflow's tracking server on a host, and keep its database in step with it.

`__main__.py` lists the commands. `fences` says which releases of MLflow each module of `patches`
was made for.
"""
