-- create_schema_migration -- make room for the list of migrations
CREATE TABLE IF NOT EXISTS schema_migration (
  version INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  checksum INTEGER NOT NULL
) STRICT;

-- list_schema_migration -- the migrations this database has been through
SELECT version, name, checksum FROM schema_migration ORDER BY version;

-- insert_schema_migration -- write down that a migration was applied
INSERT INTO schema_migration (version, name, checksum) VALUES (?1, ?2, ?3);
