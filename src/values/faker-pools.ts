/**
 * Pools of realistic values. Calling faker for every value costs some 20 µs a row; drawing from a pool that was filled
 * once costs next to nothing and looks the same. High-cardinality text is composed in the seed from a pool value and
 * the row's number, which also makes it unique.
 */
import { Faker, base, en } from '@faker-js/faker'
import { hash32 } from './random.js'

const makers = {
  firstName: (f: Faker) => f.person.firstName(),
  lastName: (f: Faker) => f.person.lastName(),
  jobTitle: (f: Faker) => f.person.jobTitle(),
  company: (f: Faker) => f.company.name(),
  phone: (f: Faker) => f.phone.number({ style: 'international' }),
  street: (f: Faker) => f.location.streetAddress(),
  city: (f: Faker) => f.location.city(),
  postcode: (f: Faker) => f.location.zipCode(),
  country: (f: Faker) => f.location.countryCode(),
  timeZone: (f: Faker) => f.location.timeZone(),
  productName: (f: Faker) => f.commerce.productName(),
  sentence: (f: Faker) => f.lorem.sentence({ min: 4, max: 14 }),
  paragraph: (f: Faker) => f.lorem.paragraph({ min: 1, max: 4 }),
  userAgent: (f: Faker) => f.internet.userAgent(),
  ipv4: (f: Faker) => f.internet.ipv4(),
} satisfies Record<string, (faker: Faker) => string>

export type PoolName = keyof typeof makers
/** One list of values a pool; `random.pick(pools.city)` draws from it. */
export type Pools = Readonly<Record<PoolName, readonly string[]>>

/** Values in a pool, duplicates included. */
const POOL_SIZE = 2000

/** The pools of a seed number. Each is filled when it is first read, and does not depend on which others were. */
export function createPools(seedNumber: number): Pools {
  const faker = new Faker({ locale: [en, base] })
  const filled = new Map<string, readonly string[]>()
  const pools = {} as Record<PoolName, readonly string[]>
  for (const [name, make] of Object.entries(makers)) {
    Object.defineProperty(pools, name, {
      enumerable: true,
      get: () => {
        let values = filled.get(name)
        if (!values) {
          faker.seed(hash32(`${seedNumber}/pool/${name}`))
          values = Array.from({ length: POOL_SIZE }, () => make(faker))
          filled.set(name, values)
        }
        return values
      },
    })
  }
  return pools
}
