/** A small shop with everything that derived traffic has a case for. */
export const SHOP = `
  create type order_status as enum ('new', 'paid', 'sent');
  create table customers (
    id uuid primary key default gen_random_uuid(),
    email varchar(120) not null unique,
    name text not null,
    active boolean not null default true,
    joined timestamptz not null default now(),
    settings jsonb
  );
  create table orders (
    id bigint generated always as identity primary key,
    customer_id uuid not null references customers (id),
    parent_id bigint references orders (id),
    status order_status not null default 'new',
    total numeric(10,2) not null check (total >= 0),
    note text,
    tags text[],
    created_at timestamptz not null default now(),
    "group" integer,
    total_with_tax numeric generated always as (total * 1.2) stored
  );
  create index on orders (status, created_at);
  create index on orders using gin (tags);
  create index on orders (created_at) where status = 'new';
  create table order_items (
    order_id bigint not null references orders (id) on delete cascade,
    line smallint not null,
    quantity integer not null,
    primary key (order_id, line)
  );
  create table labels (
    customer_id uuid not null references customers (id) on delete cascade,
    order_id bigint not null references orders (id) on delete cascade,
    primary key (customer_id, order_id)
  );
  create table invoices (
    order_id bigint primary key references orders (id),
    number text not null unique,
    words tsvector generated always as (to_tsvector('simple', number)) stored
  );
  create index on invoices using gin (words);
  create table log_lines (
    at timestamptz not null default now(),
    level text not null,
    body json
  );
  create table notes (
    id serial primary key,
    title varchar(40) not null,
    slug text not null,
    body text,
    seen boolean
  );
  create unique index notes_slug on notes (lower(slug));
  create schema app;
  create table app."Odd Names" ("Id" integer primary key, "select" text, constraint "odd unique" unique ("select"));
  create table parts (id bigint, at date not null, primary key (id, at)) partition by range (at);
  create table readings (at date not null, odd_id integer not null, value integer) partition by range (at);
  create table readings_2025 partition of readings for values from ('2025-01-01') to ('2026-01-01');
  alter table readings_2025 add foreign key (odd_id) references app."Odd Names" ("Id");
  create table app.schema_migrations (version text primary key);
`

/** Some rows in every table. */
export const ROWS = `
  insert into customers (email, name, settings)
    select 'c' || i || '@example.com', 'Customer ' || i, '{"a": 1}' from generate_series(1, 60) i;
  insert into orders (customer_id, parent_id, status, total, note, tags, "group")
    select (select id from customers order by email offset i % 60 limit 1), case when i > 5 then i - 5 end,
           (array['new', 'paid', 'sent'])[1 + i % 3]::order_status, i, 'note ' || i, array['a', 'b' || i % 7], i % 4
    from generate_series(1, 200) i;
  insert into order_items select i, l, l from generate_series(1, 200) i, generate_series(1, 2) l;
  insert into labels select c.id, o.id from customers c join orders o on o.customer_id = c.id;
  insert into invoices select i, 'invoice ' || i from generate_series(1, 200) i;
  insert into log_lines select now() - i * interval '1 min', 'info', '{}' from generate_series(1, 100) i;
  insert into notes (title, slug, body) select 'Title ' || i, 'Slug-' || i, repeat('x', 9 * i) from generate_series(1, 100) i;
  insert into app."Odd Names" select i, 's' || i from generate_series(1, 20) i;
  insert into readings select '2025-01-01'::date + i, i, i from generate_series(1, 20) i;
`
