-- Makes contacts.source NOT NULL. The table is locked first, so that no row without a source slips in between the UPDATE
-- and the ALTER: the transaction cannot fail, and it is not safe. Nobody reads or writes contacts while the table is
-- scanned twice, which grows with it. And the running release, which leaves source out, cannot create a contact
-- any more: 23502 (not_null_violation) from the commit on.
set local lock_timeout = '2s';
lock table contacts;
update contacts set source = 'unknown' where source is null;
alter table contacts alter column source set not null;
