"""Logs, metrics, traces and health pages of every program."""
