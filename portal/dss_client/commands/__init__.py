"""The commands of ``dss``, each imported when it is called."""
