"""What routing is set up from: workspaces and what they hold."""
