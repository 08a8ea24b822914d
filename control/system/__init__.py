"""How the whole system does: gathered each second by one web process, published, and kept for a while."""
