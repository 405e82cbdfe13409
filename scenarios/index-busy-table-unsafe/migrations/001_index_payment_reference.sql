-- Support looks orders up by payment reference, and the next release gives them a page for it. CREATE INDEX holds SHARE
-- on orders for the whole build: reads go on, but every INSERT, UPDATE and DELETE waits until the index is complete,
-- which grows with the table. lock_timeout bounds the wait for the lock, not the time that it is held.
set local lock_timeout = '2s';
create index orders_payment_reference_idx on orders (payment_reference);
