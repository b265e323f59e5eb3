"""Links (``itksnap-https://...``) by which ITK-SNAP opens the results of a ticket without a sign-in."""
