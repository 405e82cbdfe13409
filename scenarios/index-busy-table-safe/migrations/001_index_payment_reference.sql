-- rehearse: no-transaction
-- CONCURRENTLY holds SHARE UPDATE EXCLUSIVE on orders: reads and writes go on during the build. It reads the table twice,
-- waits for transactions that are older than itself, and cannot run inside a transaction.
-- A build that is cut off leaves an INVALID index of this name behind: it goes first, so that this file can be run again.
drop index concurrently if exists orders_payment_reference_idx;
create index concurrently orders_payment_reference_idx on orders (payment_reference);
