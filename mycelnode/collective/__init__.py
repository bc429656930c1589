"""A node's part in the collective: patterns made, made public, found and used; and the door through which others fetch them."""
