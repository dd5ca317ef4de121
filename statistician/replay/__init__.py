"""`python -m statistician replay`: plays a file of recorded states to the service."""
