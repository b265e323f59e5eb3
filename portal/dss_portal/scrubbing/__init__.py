"""Removes what ITK-SNAP writes into uploaded files about the sender's machine and the patient."""
