"""Logs and metrics of every program."""
