"""Prepares a bare machine to run the stack, with the standard library alone.

Completed steps are not repeated.  A run repairs what a killed run has left.
"""
