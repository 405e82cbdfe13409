-- The release that is running: customers browse and order, staff pay and ship.

-- name: get_product; weight: 20; prepared: yes
\set product random_zipfian(1, :n / 20, 1.1)
select p.id, p.sku, p.name, p.description, p.price_cents, p.attributes, i.quantity
from products p
join inventory i on i.product_id = p.id
where p.id = :product;

-- name: browse_category; weight: 6; prepared: yes
\set category random(1, 40)
select id, sku, name, price_cents from products where category_id = :category and active order by id limit 24;

-- name: customer_orders; weight: 10; prepared: yes
\set customer random(1, :n / 4)
select id, status, total_cents, currency, placed_at
from orders
where customer_id = :customer
order by placed_at desc
limit 20;

-- name: order_details; weight: 10; prepared: no
\set order random(1, :n)
select o.id, o.status, o.total_cents, o.shipping_address, i.line_number, i.quantity, i.unit_price_cents, p.name
from orders o
join order_items i on i.order_id = o.id
join products p on p.id = i.product_id
where o.id = :order;

-- name: open_orders; weight: 3; prepared: yes
select id, customer_id, status, placed_at
from orders
where status in ('pending', 'paid')
order by placed_at
limit 50;

-- name: place_order; weight: 10; prepared: yes
\set customer random(1, :n / 4)
\set product random_zipfian(1, :n / 20, 1.1)
\set cents random(500, 20000)
begin;
update inventory set quantity = quantity - 1, updated_at = now() where product_id = :product;
with placed as (
  insert into orders (customer_id, total_cents, shipping_address)
  values (:customer, :cents, '{"city": "Lyon", "country": "FR"}')
  returning id
)
insert into order_items (order_id, line_number, product_id, quantity, unit_price_cents)
select id, 1, :product::bigint, 1, :cents::integer from placed;
commit;

-- name: pay_order; weight: 6; prepared: yes
\set order random(:n - :n / 100 + 1, :n)
update orders
set status = 'paid', payment_reference = 'pay_' || md5(:order::text), updated_at = now()
where id = :order and status = 'pending';

-- name: ship_order; weight: 6; prepared: yes
\set order random(1, :n)
update orders set status = 'shipped', updated_at = now() where id = :order;

-- name: save_customer; weight: 3; prepared: yes
\set customer random(1, :n / 4)
insert into customers (email, name) values ('customer' || :customer::text || '@example.org', 'Returning Customer')
on conflict (email) do update set name = excluded.name;
