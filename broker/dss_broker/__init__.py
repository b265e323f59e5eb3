"""What crosses a process boundary: messages, topology and delivery rules.  Only ``rabbit`` imports pika."""
