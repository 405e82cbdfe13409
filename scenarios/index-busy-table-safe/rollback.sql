-- rehearse: no-transaction
-- A plain DROP INDEX takes ACCESS EXCLUSIVE on orders; this one lets reads and writes go on.
drop index concurrently if exists orders_payment_reference_idx;
