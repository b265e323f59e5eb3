"""The worker: takes requests from the broker, runs bundles, replies.

One message passes these modules in turn: ``server`` (subscriptions), ``request_handler`` (how did it end?),
``wanted_requests`` (is it still wanted?), ``shared_work`` (is another request computing it?),
``recorded_answers`` (was it computed before?), ``progress_replies`` and ``computation`` (the bundle).
"""
