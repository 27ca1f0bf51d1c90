"""Records the calls that a run makes to AWS, packs them for a report, and replays them.

``docs/transcripts.md`` describes the format.
"""
