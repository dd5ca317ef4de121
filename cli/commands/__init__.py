"""The commands of `boondock`, one file a subject."""
