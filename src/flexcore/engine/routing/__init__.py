"""Tasks on their way to workers: steps, offers, reservations, and why."""
