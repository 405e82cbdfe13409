-- The validated check proves that there is no NULL, so SET NOT NULL skips its scan (PostgreSQL 12 and later). The check
-- has done its work then and goes. Both take ACCESS EXCLUSIVE for an instant.
set local lock_timeout = '2s';
alter table contacts alter column source set not null;
alter table contacts drop constraint contacts_source_not_null;
