"""How the DEMO bundle's weights were made: phantoms, changed at random, and a small network.

``python -m dss_phantom.training`` writes them anew.  No real image is used, and nothing is downloaded.
"""
