"""Links that ITK-SNAP opens a result from (``itksnap-https://...``), without cookie or token."""
