"""A client that writes while parts of a deployment fail, and a checker of what became of it.

``client`` writes with several threads, keeps each operation with its outcome, and reads its own
writes. ``state`` reads what the deployment has in the end. ``oracle`` compares both.
"""
