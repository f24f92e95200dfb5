-- begin_write -- open a transaction that writes; fails at once rather than half-way
BEGIN IMMEDIATE;

-- commit -- make a transaction durable
COMMIT;

-- roll_back -- undo a transaction
ROLLBACK;

-- open_part -- begin the part of one account
SAVEPOINT part;

-- keep_part -- keep the part of one account
RELEASE part;

-- undo_part -- undo the part of one account, and nothing else
ROLLBACK TO part;
