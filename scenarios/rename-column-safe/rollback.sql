-- Nothing is lost: whatever the next release wrote to display_name, the trigger has written to full_name too.
set local lock_timeout = '2s';
drop trigger sync_user_names on users;
drop function sync_user_names();
alter table users drop column display_name;
