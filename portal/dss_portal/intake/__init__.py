"""Tickets whose images a browser has uploaded.  Another program reads the images before these tickets are queued."""
