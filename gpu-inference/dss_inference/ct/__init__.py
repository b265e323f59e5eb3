"""CT images: reading them, the part that a request marks, and writing segmentations in their grid."""
