"""The state of the whole system, put together of what was read; rates come from what was read before."""
