"""Grafana's dashboards as code. README.md says how to use them."""
