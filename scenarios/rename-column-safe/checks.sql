-- Reads the row as JSON, so that the same check also runs before the column exists and after the rollback.
-- name: both_names_agree
select u.id
from users u
where to_jsonb(u) ? 'display_name' and to_jsonb(u) ->> 'display_name' is distinct from u.full_name;

-- name: every_user_has_a_name
select id from users where full_name is null;
