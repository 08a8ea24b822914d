"""A recording through the scanners, and what became of every alert."""
