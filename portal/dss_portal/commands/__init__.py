"""The subcommands of ``dss-portal``, with one module for each kind of object that they manage."""
