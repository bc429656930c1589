-- Whether a person has made the very same pattern before is looked up among those that they keep, by creator and title.
CREATE INDEX patterns_by_title ON patterns (creator, title) WHERE kept = 1;
