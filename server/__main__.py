"""Start the program: Python runs this file of a folder or a zip that it is given."""
# ruff: noqa: INP001  the folder is what Ansible packs, and no package

from mlflow_host.__main__ import main

main()
