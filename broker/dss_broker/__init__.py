"""Communication between the programs: messages, topology and delivery rules.

Only ``rabbit`` imports pika, except for a check of addresses in ``settings``.
"""
