"""Checks a finished results folder: that its numbers follow from its files, and its files from one another."""
