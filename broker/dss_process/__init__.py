"""Parts of every program's process: startup, secrets from files, signals, supervised threads."""
