"""Victron devices on a VE.Direct cable: the table of labels, the engine that reads them, the framing."""
