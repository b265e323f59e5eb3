"""The subcommands of ``dss-portal``, a module for each kind of thing that they manage."""
