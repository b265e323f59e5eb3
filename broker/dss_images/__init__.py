"""Reads an image file and judges it: the one gate of client, dispatcher and worker."""
