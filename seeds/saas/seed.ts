import { defineSeed } from 'pg-rehearse'

const DAY_MS = 86_400_000

// Traffic draws its ids from the same shares of :n, so that every id it draws exists.
const organizations = (n: number): number => Math.max(1, Math.floor(n / 20))
const users = (n: number): number => Math.max(1, Math.floor(n / 2))

/** The organization of a user: a few large ones, many small ones. */
const organizationOf = (user: number, n: number): number =>
  1 + Math.floor(organizations(n) * ((user * 0.618033988749895) % 1) ** 2)

export default defineSeed({
  tables: {
    organizations: {
      rows: ({ n }) => organizations(n),
      columns: ['id', 'name', 'slug', 'plan', 'settings', 'created_at'],
      row: (i, random, { pools, epochMs }) => ({
        id: i,
        name: random.pick(pools.company),
        slug: `org-${i}`,
        plan: random.pick(['free', 'free', 'free', 'pro', 'pro', 'enterprise']),
        settings: { locale: random.pick(['en', 'de', 'fr', 'ja']), seats: random.int(1, 500) },
        created_at: new Date(epochMs - random.int(30, 2000) * DAY_MS),
      }),
    },
    users: {
      rows: ({ n }) => users(n),
      columns: ['id', 'email', 'full_name', 'time_zone', 'password_hash', 'last_seen_at', 'created_at', 'updated_at'],
      row: (i, random, { pools, epochMs }) => {
        const created = epochMs - random.int(1, 1500) * DAY_MS
        return {
          id: i,
          email: `user${i}@example.com`,
          full_name: `${random.pick(pools.firstName)} ${random.pick(pools.lastName)}`,
          time_zone: random.pick(pools.timeZone),
          // Some sign in through their company and have no password.
          password_hash: random.next() < 0.2 ? null : Uint8Array.from({ length: 16 }, () => random.int(0, 255)),
          last_seen_at: random.next() < 0.1 ? null : new Date(random.int(created, epochMs)),
          created_at: new Date(created),
          updated_at: new Date(created),
        }
      },
    },
    memberships: {
      rows: ({ n }) => users(n),
      columns: ['organization_id', 'user_id', 'role'],
      row: (i, random, { n }) => ({
        organization_id: organizationOf(i, n),
        user_id: i,
        role: random.pick(['owner', 'admin', 'member', 'member', 'member', 'member']),
      }),
    },
    contacts: {
      rows: ({ n }) => n,
      columns: [
        'id',
        'organization_id',
        'owner_id',
        'email',
        'first_name',
        'last_name',
        'company',
        'phone',
        'status',
        'source',
        'tags',
        'custom',
        'last_contacted_at',
        'archived_at',
        'created_at',
        'updated_at',
      ],
      row: (i, random, { n, pools, epochMs }) => {
        const owner = random.int(1, users(n))
        const created = epochMs - random.int(1, 1500 * 1440) * 60_000
        return {
          id: i,
          organization_id: organizationOf(owner, n),
          owner_id: random.next() < 0.05 ? null : owner,
          email: `contact${i}@example.net`,
          first_name: random.pick(pools.firstName),
          last_name: random.pick(pools.lastName),
          company: random.next() < 0.3 ? null : random.pick(pools.company),
          phone: random.next() < 0.4 ? null : random.pick(pools.phone),
          status: random.pick(['lead', 'lead', 'lead', 'qualified', 'customer', 'lost']),
          // One in fifty was created before anybody asked where contacts come from.
          source: random.next() < 0.02 ? null : random.pick(['import', 'form', 'api', 'referral']),
          tags: random.next() < 0.7 ? [] : [random.pick(['vip', 'newsletter', 'trial', 'partner'])],
          custom: random.next() < 0.5 ? {} : { budget: random.int(1, 100) * 1000, title: random.pick(pools.jobTitle) },
          last_contacted_at: random.next() < 0.5 ? null : new Date(random.int(created, epochMs)),
          archived_at: random.next() < 0.9 ? null : new Date(epochMs - random.int(1, 90) * DAY_MS),
          created_at: new Date(created),
          updated_at: new Date(created),
        }
      },
    },
    activities: {
      rows: ({ n }) => Math.floor(n / 2),
      columns: ['id', 'contact_id', 'user_id', 'kind', 'details', 'occurred_at'],
      row: (i, random, { n, pools, epochMs }) => ({
        id: i,
        contact_id: random.int(1, n),
        user_id: random.int(1, users(n)),
        kind: random.pick(['note', 'call', 'email', 'meeting']),
        details: { text: random.pick(pools.sentence) },
        occurred_at: new Date(epochMs - random.int(1, 400 * 1440) * 60_000),
      }),
    },
    api_keys: {
      rows: ({ n }) => Math.floor(n / 40),
      columns: ['organization_id', 'key_hash', 'scopes', 'revoked_at'],
      row: (i, random, { n, epochMs }) => ({
        organization_id: random.int(1, organizations(n)),
        key_hash: Buffer.from(`key ${i} ${random.int(0, 0xffffffff)}`),
        scopes: random.pick([['contacts:read'], ['contacts:read', 'contacts:write'], ['admin']]),
        revoked_at: random.next() < 0.8 ? null : new Date(epochMs - random.int(1, 300) * DAY_MS),
      }),
    },
  },
})
