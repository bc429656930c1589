"""Patterns as files that people write and read: JSON, Markdown with front matter, and the folders of Agent Skills."""
