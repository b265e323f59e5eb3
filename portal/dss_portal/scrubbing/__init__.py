"""Removes facts about the sender's machine and the patient from uploaded files: paths in ITK-SNAP workspaces, texts in
NIfTI headers.
"""
