"""A NEAR network of one node on this machine: the same wasm, the same rules, the same JSON-RPC; docs/devchain.md."""
