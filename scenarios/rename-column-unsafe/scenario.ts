import { defineScenario } from 'pg-rehearse'

export default defineScenario({
  description:
    'A column is renamed in place: every query of the running release that names it fails from that moment on.',
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
