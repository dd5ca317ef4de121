"""Victron devices over Bluetooth: the table of records, the kinds of field, the engine that reads them."""
