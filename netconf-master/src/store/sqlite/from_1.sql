-- From version 1 to 2: flow rules. Networks made before have none.
ALTER TABLE networks ADD COLUMN rules TEXT NOT NULL DEFAULT '';
ALTER TABLE networks ADD COLUMN compiled BLOB NOT NULL DEFAULT x'';

PRAGMA user_version = 2;
