"""The portal's access to ticket files on the shared volume.  A file is written under a temporary name and published by
renaming it.
"""

from dss_portal.datastore.parts import Parts
from dss_portal.datastore.publishing import Publishing
from dss_portal.datastore.receiving import Receiving
from dss_portal.datastore.removing import Removing


class Datastore(Receiving, Parts, Publishing, Removing):
    """The portal's access to the files of tickets.  No other module of the portal makes a path from a ticket number.

    Methods that read or write files raise OSError (ENODEV) while the volume is not mounted.  Without the check for it
    all files would seem to be missing, and new files would be lost below the mount point.

    ``name`` or ``place`` of a file of an area is its name, after the folder of its attempt and a slash if it has one:
    see ``layout.file_path``.  A *part* is the file in which a resumable upload is collected.
    """
