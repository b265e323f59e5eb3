"""Synthetic chest CTs with the true segmentation of their lungs, on request with nodules at known places, for tests,
trials and training.

``dss-phantom FOLDER`` (or ``python -m dss_phantom FOLDER``) writes one without nodules.  The inference worker imports
nothing from this package; this package uses the worker's device, settings and errors.
"""
