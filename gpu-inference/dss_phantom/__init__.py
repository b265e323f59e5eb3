"""Synthetic chest CTs with the true segmentation of their lungs and nodules, for tests, trials and training.

``dss-phantom FOLDER`` (or ``python -m dss_phantom FOLDER``) writes one.  The inference worker imports nothing from this
package; this package uses the worker's device and errors.
"""
