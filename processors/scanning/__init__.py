"""Scanners: their texts, the engine that ranks them at every tick, boards, alerts, the status."""
