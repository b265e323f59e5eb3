"""Synthetic chest CTs with the truth about their lungs and nodules, for tests, trials and training.

``dss-phantom FOLDER`` (or ``python -m dss_phantom FOLDER``) writes one.  The inference worker imports
nothing of this package; this package uses the worker's device and errors.
"""
