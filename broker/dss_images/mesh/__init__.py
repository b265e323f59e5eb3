"""Surface meshes in the formats that ITK-SNAP loads into a workspace: VTK's legacy file and its XML file (.vtp)."""
