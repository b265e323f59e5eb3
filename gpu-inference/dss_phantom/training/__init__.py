"""Makes the weights of the DEMO bundle, from random variations of phantoms and a small network.

``python -m dss_phantom.training`` writes them anew.  No real image is used, and nothing is downloaded.
"""
