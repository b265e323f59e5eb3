"""What crosses a process boundary: messages, topology and delivery rules.  The only importer of pika."""
