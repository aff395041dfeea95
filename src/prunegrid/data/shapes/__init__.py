"""Readers of the shapes in which people keep conversations: lists of messages, and prompts with responses."""
