"""The worker: takes requests from the broker, runs bundles, and replies.

A message passes these modules in turn: ``server`` (subscriptions), ``request_handler`` (the outcome of the handling),
``wanted_requests`` (drops requests that are no longer wanted), ``shared_work`` (waits for another request with the same
work), ``recorded_answers`` (finds an earlier answer), ``progress_replies`` and ``computation`` (the bundle).
"""
