"""Grafana's dashboards as code; ``python -m dss_dashboards`` writes their JSON files, which are in the repository."""
