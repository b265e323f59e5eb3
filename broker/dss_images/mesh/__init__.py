"""Reads, checks and writes surface meshes in the formats that ITK-SNAP loads into a workspace.

These are VTK's legacy format (.vtk) and its XML format for polygonal data (.vtp).
"""
