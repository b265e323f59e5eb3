"""What users and scripts talk to a Distributed Segmentation Service with.

``dss_client.itksnap.ItkSnap`` behaves on the wire as ITK-SNAP does; the rest prepares its uploads and
reads its downloads.
"""
