"""What ITK-SNAP leaves in the files that it uploads, and nobody but their owner is to read."""
