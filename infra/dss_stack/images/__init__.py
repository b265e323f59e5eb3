"""What the build of the images runs, each by its path: the standard library only, like ``dss_stack.bootstrap``."""
