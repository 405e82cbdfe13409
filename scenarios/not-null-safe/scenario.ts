import { defineScenario } from 'pg-rehearse'

export default defineScenario({
  description:
    'The same NOT NULL in five steps: default, backfill in batches, unvalidated check, validation, and the change itself without a scan.',
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
