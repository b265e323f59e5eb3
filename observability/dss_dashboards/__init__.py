"""Grafana's dashboards as code; ``python -m dss_dashboards`` writes the JSON that is checked in."""
