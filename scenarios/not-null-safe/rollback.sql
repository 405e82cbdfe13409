-- The rows that were filled keep 'unknown'; which of them had no source before is not kept.
set local lock_timeout = '2s';
alter table contacts alter column source drop not null, alter column source drop default;
