-- Expand: users.full_name gets a second name, display_name, beside it. Adding a nullable column and a trigger touches no
-- row, so the lock that stops everybody on users lasts milliseconds, and lock_timeout bounds the wait for it.
-- The trigger works in both directions, so that each release sees what the other wrote, whichever column it writes.
set local lock_timeout = '2s';

alter table users add column display_name text;

create function sync_user_names() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    new.display_name := coalesce(new.display_name, new.full_name);
    new.full_name := new.display_name;
  elsif new.display_name is distinct from old.display_name then
    new.full_name := new.display_name;
  else
    -- Only full_name changed, or neither did and the row was not filled yet.
    new.display_name := new.full_name;
  end if;
  return new;
end $$;

create trigger sync_user_names before insert or update on users for each row execute function sync_user_names();
