import { defineScenario } from 'pg-rehearse'

export default defineScenario({
  description: 'A plain CREATE INDEX on the busiest table: reads go on, every write waits for the whole build.',
  schema: '../../seeds/shop/schema.sql',
  seed: '../../seeds/shop/seed.ts',
  production: {
    rows: {
      customers: 12_000_000,
      products: 2_400_000,
      inventory: 2_400_000,
      orders: 48_000_000,
      order_items: 72_000_000,
    },
  },
})
