"""Pure state machines: messages and clock readings in, messages and proposals out. docs/protocols has a page for each."""
