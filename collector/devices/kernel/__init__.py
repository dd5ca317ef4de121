"""Sensors that drivers of the kernel read: on 1-Wire, and chips by hwmon and iio."""
