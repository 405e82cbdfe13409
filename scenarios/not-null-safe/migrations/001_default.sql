-- First of all no new NULL may come in: from here on the running release, which leaves source out, writes 'unknown'.
-- Setting a default touches no row: the lock lasts milliseconds, and lock_timeout bounds the wait for it.
set local lock_timeout = '2s';
alter table contacts alter column source set default 'unknown';
