-- name: no_invalid_index
select indexrelid::regclass from pg_index where indrelid = 'orders'::regclass and not (indisvalid and indisready);
