"""How requests come from a connection to the layers before the framework."""
