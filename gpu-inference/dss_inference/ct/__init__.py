"""For the bundles of the inference worker: reads CT images and the box that a request marks, and writes segmentations
on the grid of their image.
"""
