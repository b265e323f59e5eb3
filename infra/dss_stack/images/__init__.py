"""Scripts that the build of the images runs by their paths, with the standard library alone, like
``dss_stack.bootstrap``.
"""
