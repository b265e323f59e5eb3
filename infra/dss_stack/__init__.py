"""The local stack: private servers and the programs of this project, on one machine."""
