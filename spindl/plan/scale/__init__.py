"""Plans for boards and for machines of a million cores: one image a chip, weights on every chip, updates in shards."""
