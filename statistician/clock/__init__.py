"""When readings count: the clocks of the house and of devices, and what a step of one changes."""
