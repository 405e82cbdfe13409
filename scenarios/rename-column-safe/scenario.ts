import { defineScenario } from 'pg-rehearse'

export default defineScenario({
  description:
    'The expand step of a rename: a second column, kept equal by a trigger in both directions and filled in batches.',
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
