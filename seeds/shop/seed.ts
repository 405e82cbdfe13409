import { createHash } from 'node:crypto'
import { defineSeed } from 'pg-rehearse'

const MINUTE_MS = 60_000
const DAY_MINUTES = 1440
const CATEGORIES = 40

// Traffic draws its ids from the same shares of :n, so that every id it draws exists.
const customers = (n: number): number => Math.max(1, Math.floor(n / 4))
const products = (n: number): number => Math.max(1, Math.floor(n / 20))

export default defineSeed({
  tables: {
    customers: {
      rows: ({ n }) => customers(n),
      columns: ['id', 'email', 'name', 'marketing', 'default_address', 'created_at'],
      row: (i, random, { pools, epochMs }) => ({
        id: i,
        email: `customer${i}@example.org`,
        name: `${random.pick(pools.firstName)} ${random.pick(pools.lastName)}`,
        marketing: random.next() < 0.3,
        default_address:
          random.next() < 0.2
            ? null
            : { street: random.pick(pools.street), city: random.pick(pools.city), country: random.pick(pools.country) },
        created_at: new Date(epochMs - random.int(1, 1500 * DAY_MINUTES) * MINUTE_MS),
      }),
    },
    categories: {
      rows: CATEGORIES,
      columns: ['id', 'parent_id', 'name'],
      row: (i) => ({ id: i, parent_id: i <= 8 ? null : 1 + (i % 8), name: `Category ${i}` }),
    },
    products: {
      rows: ({ n }) => products(n),
      columns: ['id', 'category_id', 'sku', 'name', 'description', 'price_cents', 'attributes', 'active'],
      row: (i, random, { pools }) => ({
        id: i,
        category_id: random.int(1, CATEGORIES),
        sku: `SKU-${i}`,
        name: random.pick(pools.productName),
        description: random.next() < 0.2 ? null : random.pick(pools.paragraph),
        price_cents: random.int(99, 99_999),
        attributes: { colour: random.pick(['black', 'white', 'red', 'blue']), weight: random.int(10, 20_000) },
        active: random.next() < 0.9,
      }),
    },
    inventory: {
      rows: ({ n }) => products(n),
      columns: ['product_id', 'quantity'],
      row: (i, random) => ({ product_id: i, quantity: random.int(100_000, 1_000_000) }),
    },
    orders: {
      rows: ({ n }) => n,
      columns: [
        'id',
        'customer_id',
        'status',
        'total_cents',
        'currency',
        'payment_reference',
        'shipping_address',
        'placed_at',
        'updated_at',
      ],
      row: (i, random, { n, pools, epochMs }) => {
        // Orders come in over three years in the order of their ids; all but the last hundredth are closed.
        const placed = new Date(epochMs - Math.floor((1095 * DAY_MINUTES * (n - i)) / n) * MINUTE_MS)
        const open = i > n - n / 100
        const status = open
          ? random.pick(['pending', 'paid', 'paid'])
          : random.pick(['shipped', 'delivered', 'delivered', 'delivered', 'delivered', 'cancelled'])
        return {
          id: i,
          // Some customers order far more often than others.
          customer_id: 1 + Math.floor(customers(n) * random.next() ** 1.5),
          status,
          total_cents: random.int(500, 200_000),
          currency: random.pick(['EUR', 'EUR', 'EUR', 'GBP', 'USD']),
          payment_reference: status === 'pending' ? null : `pay_${createHash('md5').update(String(i)).digest('hex')}`,
          shipping_address: {
            street: random.pick(pools.street),
            city: random.pick(pools.city),
            country: random.pick(pools.country),
          },
          placed_at: placed,
          updated_at: placed,
        }
      },
    },
    order_items: {
      // Every order has one item, every other one has two.
      rows: ({ n }) => n + Math.floor(n / 2),
      columns: ['order_id', 'line_number', 'product_id', 'quantity', 'unit_price_cents'],
      row: (i, random, { n }) => ({
        order_id: i <= n ? i : 2 * (i - n),
        line_number: i <= n ? 1 : 2,
        product_id: 1 + Math.floor(products(n) * random.next() ** 2),
        quantity: random.int(1, 4),
        unit_price_cents: random.int(99, 99_999),
      }),
    },
  },
})
