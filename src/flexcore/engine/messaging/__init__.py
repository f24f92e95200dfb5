"""Conversations, interactions, and what comes in and goes out."""
