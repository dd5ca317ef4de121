"""Tests of the statistician."""
