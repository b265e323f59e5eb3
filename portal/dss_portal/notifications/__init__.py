"""Notifies users outside the portal that a ticket has ended: by mail, webhook or ntfy, as the user chooses."""
