"""Makes a bare machine able to run the stack.  Only the standard library is there to help.

Nothing here is done twice, and what a killed run has left behind is repaired by the next one.
"""
