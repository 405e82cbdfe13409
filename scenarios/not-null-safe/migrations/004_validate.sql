-- The one full scan, under SHARE UPDATE EXCLUSIVE: reads and writes go on. In a transaction of its own, because together
-- with 003 it would run under the ACCESS EXCLUSIVE lock that 003 took.
alter table contacts validate constraint contacts_source_not_null;
