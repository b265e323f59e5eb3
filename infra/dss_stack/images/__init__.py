"""Scripts that the build of the container images runs by their paths, with the standard library alone, like
``dss_stack.bootstrap``.
"""
