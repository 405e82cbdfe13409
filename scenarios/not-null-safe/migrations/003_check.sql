-- NOT VALID: new rows are checked from now on, the old ones are not read. An instant under ACCESS EXCLUSIVE.
set local lock_timeout = '2s';
alter table contacts add constraint contacts_source_not_null check (source is not null) not valid;
