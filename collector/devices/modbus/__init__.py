"""Devices that speak Modbus: one engine that reads blocks, profiles that say what they mean, SunSpec."""
