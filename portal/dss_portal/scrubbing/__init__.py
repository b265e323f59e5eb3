"""Removes the facts about the sender's machine and the patient that ITK-SNAP writes into uploaded files."""
