import { expect, it } from 'vitest'
import { Report } from '../../src/recording.js'
import * as make from '../fixtures/make.js'

it.each(Object.entries(make))('%s satisfies the schema', (_, report) => {
  const made = report()
  expect(Report.parse(made)).toEqual(made)
})
