"""Communication between the programs: messages, topology and delivery rules.  Only ``rabbit`` imports pika."""
