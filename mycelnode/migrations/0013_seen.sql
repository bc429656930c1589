-- What a person saw when they confirmed something that was released, and what they said registering it may take.
ALTER TABLE released ADD COLUMN seen BLOB; -- a hash of all that was shown: nothing else goes out
ALTER TABLE released ADD COLUMN deposit TEXT; -- yoctoNEAR
-- Of what is to be linked with nothing else of the person: the seed of the key that signs this alone; empty once it has.
ALTER TABLE released ADD COLUMN unlinked BLOB;
