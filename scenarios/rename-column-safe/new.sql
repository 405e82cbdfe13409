-- The next release: the same operations on users.display_name.

-- name: get_user; weight: 20; prepared: yes
\set id random(1, :n / 2)
select id, email, display_name, time_zone, last_seen_at from users where id = :id;

-- name: sign_in; weight: 10; prepared: yes
\set id random_zipfian(1, :n / 2, 1.1)
begin;
select id, display_name, password_hash from users where email = 'user' || :id::text || '@example.com';
update users set last_seen_at = now() where email = 'user' || :id::text || '@example.com';
commit;

-- name: list_members; weight: 8; prepared: yes
\set organization random(1, :n / 20)
select u.id, u.display_name, u.email, m.role
from memberships m
join users u on u.id = m.user_id
where m.organization_id = :organization
order by m.user_id
limit 50;

-- name: contact_page; weight: 10; prepared: yes
\set contact random(1, :n)
select c.id, c.first_name, c.last_name, c.email, c.status, u.display_name as owner
from contacts c
left join users u on u.id = c.owner_id
where c.id = :contact;

-- name: recent_activities; weight: 6; prepared: no
\set contact random(1, :n)
select a.id, a.kind, a.details, a.occurred_at, u.display_name as author
from activities a
left join users u on u.id = a.user_id
where a.contact_id = :contact
order by a.occurred_at desc
limit 20;

-- name: log_activity; weight: 5; prepared: yes
\set contact random(1, :n)
\set user random(1, :n / 2)
insert into activities (contact_id, user_id, kind, details) values (:contact, :user, 'note', '{"text": "Called back"}');

-- name: change_name; weight: 3; prepared: yes
\set id random(1, :n / 2)
\set number random(1, 1000000)
update users set display_name = 'Renamed User ' || :number::text, updated_at = now() where id = :id;

-- name: sign_up; weight: 2; prepared: no
\set organization random(1, :n / 20)
with signed_up as (
  insert into users (email, display_name)
  values ('new-' || gen_random_uuid()::text || '@example.com', 'New User')
  returning id
)
insert into memberships (organization_id, user_id, role) select :organization::bigint, id, 'member' from signed_up;

-- name: provision_user; weight: 2; prepared: yes
\set id random(1, :n / 2)
\set number random(1, 1000000)
insert into users (email, display_name, last_seen_at)
values ('user' || :id::text || '@example.com', 'Provisioned User ' || :number::text, now())
on conflict (email) do update set display_name = excluded.display_name, last_seen_at = excluded.last_seen_at;
