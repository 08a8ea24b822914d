"""Batch → what one script call merges: a module a feed."""
