"""Links from which ITK-SNAP opens results (``itksnap-https://...``), without a cookie or token."""
