"""Benchmarks over real parts that each starts and ends itself: what `manage.py bench` runs."""
