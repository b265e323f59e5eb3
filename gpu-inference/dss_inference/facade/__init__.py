"""The REST interface of the original inference server, for data scientists and old dispatchers.

``POST /<bundle>/inference`` with the multipart field ``itk_image`` answers ``{"Endpoint": "/results/..."}``;
``GET`` of that answers 200 with the segmentation as NRRD once there is one.
"""
