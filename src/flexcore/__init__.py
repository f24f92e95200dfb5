"""The core of a contact center: conversations, interactions, tasks and routing."""

__version__ = "0.1.0"
