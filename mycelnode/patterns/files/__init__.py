"""Patterns as files that people write and read: JSON, Markdown with front matter, and the folders of Agent Skills."""

from mycelnode.patterns.files.disk import Format, read_file, write_file
from mycelnode.patterns.files.draft import Draft
from mycelnode.patterns.files.skill import name_of

__all__ = ["Draft", "Format", "name_of", "read_file", "write_file"]
