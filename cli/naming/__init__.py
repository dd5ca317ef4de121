"""Names of devices and entities, and devices that are replaced: history goes on."""
