"""Sending images from a browser, or without a workspace: the page ``/send``, the list of a user's cases, and the API
behind them.
"""
