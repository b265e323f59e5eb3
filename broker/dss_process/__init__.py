"""What every program does as a process: startup, secrets from files, signals, supervised threads."""
