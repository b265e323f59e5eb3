"""Reads CT images and the box that a request marks, and writes segmentations in their grid."""
