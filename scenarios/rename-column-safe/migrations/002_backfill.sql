-- rehearse: no-transaction
-- Fills display_name for the rows that were there before the trigger, 1,000 at a time in the order of the primary key.
-- Each batch commits by itself: its row locks last milliseconds, and a run that is cut off can simply be started again.
-- A row that somebody changed in between was filled by the trigger and is left alone.
create or replace procedure backfill_display_name() language plpgsql as $$
declare
  done bigint := 0;
  upto bigint;
begin
  loop
    select max(id) into upto from (select id from users where id > done order by id limit 1000) batch;
    exit when upto is null;
    update users set display_name = full_name where id > done and id <= upto and display_name is null;
    commit;
    done := upto;
  end loop;
end $$;

call backfill_display_name();

drop procedure backfill_display_name();
