"""The facade: the worker's REST interface, that of the original inference server, for data scientists and old
dispatchers.

``POST /<bundle>/inference`` with the multipart field ``itk_image`` responds with ``{"Endpoint": "/results/..."}``; a
``GET`` of that path responds 200 with the segmentation as NRRD as soon as it exists.
"""
