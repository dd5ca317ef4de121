"""What this machine must have for the settings: ports, buses, pins, groups, secrets, the broker."""
