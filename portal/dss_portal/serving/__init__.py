"""Passes requests from connections to the layers in front of the framework."""
