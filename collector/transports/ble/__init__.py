"""The Bluetooth radio through BlueZ: advertisements as they come, and what to do when none come."""
