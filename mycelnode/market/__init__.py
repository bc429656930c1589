"""What the node does with a registry: patterns are registered, found by it, bought, used and rated."""
