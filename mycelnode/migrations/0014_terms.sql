-- The device that decides a window tells the others by which dictionary it is read; and why nothing of a device counts travels, too.
ALTER TABLE release_opened ADD COLUMN agreed INTEGER NOT NULL DEFAULT 0; -- has it told us?
ALTER TABLE release_got ADD COLUMN said TEXT NOT NULL DEFAULT ''; -- why there is nothing in it; empty if it is a part
