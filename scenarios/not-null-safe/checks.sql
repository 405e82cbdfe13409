-- name: every_contact_has_a_source
select id from contacts where source is null;
