"""Prepares a bare machine to run the stack, with the standard library alone.

Steps that are done are not repeated, and remains of a killed run are repaired by the next one.
"""
