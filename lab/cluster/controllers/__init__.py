"""Controllers that make a cluster's objects come to life, written against a small interface."""
