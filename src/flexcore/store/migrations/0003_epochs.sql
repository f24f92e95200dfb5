-- Whoever owned an account's log before, and how far the log came meanwhile.
CREATE TABLE past_epoch (
  account TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  PRIMARY KEY (account, epoch)
) STRICT, WITHOUT ROWID;
