-- Renames users.full_name to display_name in place. The statement is instant, and its lock is asked for with a timeout:
-- the lock is not what hurts here. The release that is still running says full_name in nearly every query, and each
-- of them fails with 42703 (undefined_column) from the commit until the last old instance is gone.
set local lock_timeout = '2s';
alter table users rename column full_name to display_name;
