"""Removes from uploaded files what ITK-SNAP leaves there of the sender's machine and the patient."""
