"""The Free Tier API."""
