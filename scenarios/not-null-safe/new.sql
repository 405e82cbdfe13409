-- The next release: it says where each contact comes from, and shows it.

-- name: get_contact; weight: 20; prepared: yes
\set contact random_zipfian(1, :n, 1.1)
select c.id, c.first_name, c.last_name, c.email, c.company, c.status, c.source, c.tags, c.custom, u.full_name as owner
from contacts c
left join users u on u.id = c.owner_id
where c.id = :contact;

-- name: list_contacts; weight: 12; prepared: yes
\set organization random(1, :n / 20)
select id, first_name, last_name, email, status, source, created_at
from contacts
where organization_id = :organization
order by created_at desc
limit 50;

-- name: pipeline; weight: 4; prepared: no
\set owner random(1, :n / 2)
select status, count(*) from contacts where owner_id = :owner and archived_at is null group by status;

-- name: create_contact; weight: 6; prepared: yes
\set organization random(1, :n / 20)
\set owner random(1, :n / 2)
insert into contacts (organization_id, owner_id, email, first_name, last_name, source)
values (:organization, :owner, 'new-' || gen_random_uuid()::text || '@example.net', 'New', 'Contact', 'form')
returning id;

-- name: import_contact; weight: 3; prepared: yes
\set organization random(1, :n / 20)
\set number random(1, 1000)
insert into contacts (organization_id, email, first_name, last_name, source)
values (:organization, 'import' || :number::text || '@example.net', 'Imported', 'Contact', 'import')
on conflict (organization_id, email) do update set first_name = excluded.first_name, updated_at = now();

-- name: log_call; weight: 6; prepared: yes
\set contact random(1, :n)
\set user random(1, :n / 2)
begin;
update contacts set last_contacted_at = now(), updated_at = now() where id = :contact;
insert into activities (contact_id, user_id, kind, details) values (:contact, :user, 'call', '{"minutes": 5}');
commit;

-- name: qualify_contact; weight: 3; prepared: yes
\set contact random(1, :n)
update contacts set status = 'qualified', updated_at = now() where id = :contact;

-- name: recent_activities; weight: 6; prepared: yes
\set contact random(1, :n)
select id, kind, details, occurred_at from activities where contact_id = :contact order by occurred_at desc limit 20;
