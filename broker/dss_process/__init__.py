"""What every program needs as a process: first steps, secrets from files, signals, supervised threads, its version."""
