-- rehearse: no-transaction
-- Fills the old rows in ranges of 5,000 by primary key, at most 5,000 changed rows a transaction. Each range commits by
-- itself: its row locks last milliseconds, and a run that is cut off can simply be started again.
create or replace procedure backfill_contact_source() language plpgsql as $$
declare
  done bigint := 0;
  upto bigint;
begin
  loop
    select max(id) into upto from (select id from contacts where id > done order by id limit 5000) batch;
    exit when upto is null;
    update contacts set source = 'unknown' where id > done and id <= upto and source is null;
    commit;
    done := upto;
  end loop;
end $$;

call backfill_contact_source();

drop procedure backfill_contact_source();
