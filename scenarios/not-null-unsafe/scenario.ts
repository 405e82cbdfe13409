import { defineScenario } from 'pg-rehearse'

export default defineScenario({
  description:
    'A column is made NOT NULL in one transaction: the table is locked while it is scanned, and the running release still inserts without it.',
  schema: '../../seeds/saas/schema.sql',
  seed: '../../seeds/saas/seed.ts',
  production: {
    rows: {
      organizations: 5_000_000,
      users: 50_000_000,
      memberships: 50_000_000,
      contacts: 100_000_000,
      activities: 50_000_000,
    },
  },
})
