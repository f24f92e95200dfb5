"""Conformance vectors: small facts of routing, each with what TaskRouter makes of it.

A vector is one scenario on a `Floor`: a workspace with people and work, driven through
the real deciding core in virtual time. Its test runs it under the preset `compat` and
states the fact. test_strict.py runs the same scenarios under `strict`: strict.toml says
what is seen then, and which policy is the reason where that differs.

The numbers are the vectors' names and do not change. 49 to 51 speak of voice transfers,
which there are none of yet. From 101 on they are flexcore's own, so that every policy
that makes a difference is shown to make one.
"""
