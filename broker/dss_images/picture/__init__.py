"""Makes a picture of an image and its segmentation: three planes with the outlines of the labels, as a PNG file."""
