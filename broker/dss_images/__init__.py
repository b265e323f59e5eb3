"""Reads and checks image files, meshes and DICOM folders, by the same rules in client, dispatcher and worker."""
