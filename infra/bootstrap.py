"""Installs what the local stack needs.  ``make`` runs this file with the machine's own Python; it starts
``dss_stack.bootstrap`` if that Python is new enough.
"""

import pathlib
import runpy
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the first file that an older Python meets
    sys.exit("Python 3.11 or newer is needed, and this is {}.{}.".format(*sys.version_info))

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
runpy.run_module("dss_stack.bootstrap", run_name="__main__")
