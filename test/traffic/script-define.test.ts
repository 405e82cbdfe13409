import { describe, expect, it } from 'vitest'
import type { Sql } from 'postgres'
import { codeOperations, defineTraffic } from '../../src/traffic/define.js'
import { Random } from '../../src/traffic/random.js'

const noop = (): Promise<void> => Promise.resolve()

describe('codeOperations', () => {
  it('gives operations in order, with their lines, and calls run', async () => {
    const traffic = defineTraffic({
      operations: {
        getUser: { weight: 10, run: (_sql, random, { rows }) => Promise.resolve([random.int(1, rows), rows]) },
        'other-one': { prepared: false, run: noop },
      },
    })
    const source = 'export default defineTraffic({\n  operations: {\n    getUser: {\n    },\n    "other-one": {'
    const operations = codeOperations(traffic, 'old', 'old.ts', source)
    expect(
      operations.map(({ name, weight, prepared, line, file, release }) => [
        name,
        weight,
        prepared,
        line,
        file,
        release,
      ]),
    ).toEqual([
      ['getUser', 10, true, 3, 'old.ts', 'old'],
      ['other-one', 1, false, 5, 'old.ts', 'old'],
    ])
    const result = await operations[0]?.run({} as Sql, new Random(1), { rows: 1, clientId: 0, seed: 1 })
    expect(result).toEqual([1, 1])
  })

  it('passes on a rate and the time to think', () => {
    const operations = codeOperations(
      { operations: { a: { run: noop, rate: 5, think: 20 }, b: { run: noop } } },
      'old',
      'f',
    )
    expect(operations.map(({ ratePerSecond, thinkMs }) => [ratePerSecond, thinkMs])).toEqual([
      [5, 20],
      [undefined, undefined],
    ])
  })

  it('keeps `this` of the definition', async () => {
    const definition = { factor: 2, run: noop }
    const withThis = {
      operations: {
        a: {
          run: function (this: unknown) {
            return Promise.resolve(this)
          },
        },
      },
    }
    expect(
      await codeOperations(withThis, 'old', 'f')[0]?.run({} as Sql, new Random(1), { rows: 1, clientId: 0, seed: 1 }),
    ).toBe(withThis.operations.a)
    expect(() => codeOperations({ operations: { a: definition } }, 'old', 'f')).toThrow(
      'operations.a.factor: unknown field',
    )
  })

  it.each<[unknown, string]>([
    [undefined, 'f.ts: the default export must be defineTraffic'],
    [{}, 'f.ts: the default export must be defineTraffic'],
    [{ operations: {} }, 'f.ts: operations: at least one operation is needed'],
    [{ operations: { a: 1 } }, 'f.ts: operations.a must be an object'],
    [{ operations: { a: {} } }, 'f.ts: operations.a.run must be a function'],
    [{ operations: { a: { run: noop, weight: 0 } } }, 'f.ts: operations.a.weight must be a positive number'],
    [{ operations: { a: { run: noop, weight: NaN } } }, 'f.ts: operations.a.weight'],
    [{ operations: { a: { run: noop, rate: 0 } } }, 'f.ts: operations.a.rate must be a positive number'],
    [{ operations: { a: { run: noop, rate: '5' } } }, 'f.ts: operations.a.rate must be a positive number'],
    [{ operations: { a: { run: noop, rate: 5, weight: 1 } } }, 'f.ts: operations.a: an operation has a weight'],
    [{ operations: { a: { run: noop, think: -1 } } }, 'f.ts: operations.a.think must be milliseconds'],
    [{ operations: { a: { run: noop, prepared: 'yes' } } }, 'f.ts: operations.a.prepared must be true or false'],
  ])('refuses %j', (exported, message) => {
    expect(() => codeOperations(exported, 'old', 'f.ts')).toThrow(message)
  })
})
