"""Prepares a bare machine to run the local stack: installs servers and Python packages, with the standard library
alone.

Completed steps are not repeated.  A run repairs what a killed run has left.
"""
