"""A workspace as one JSON document: read, checked against its scope, and written."""
