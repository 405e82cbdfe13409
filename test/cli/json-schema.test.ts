import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { jsonSchemas } from '../../src/json-schema.js'
import * as make from '../fixtures/make.js'
import { schemaErrors } from '../support/validate.js'

const folder = new URL('../../schema/', import.meta.url)

test('the published schemas are the generated ones (npm run schema)', () => {
  const committed = readdirSync(folder).map((name) => [name, readFileSync(new URL(name, folder), 'utf8')])
  expect(Object.fromEntries(committed)).toEqual(jsonSchemas())
})

test.each(Object.entries(make))('%s is valid', (_, report) => {
  const made: unknown = JSON.parse(JSON.stringify(report()))
  expect(schemaErrors('report', made)).toEqual([])
  expect(schemaErrors('recording', (made as { recording: unknown }).recording)).toEqual([])
})

test('what a later minor version adds is valid, what is missing or of another type is not', () => {
  const report = make.failReport()
  expect(schemaErrors('report', { ...report, later: 1 })).toEqual([])
  expect(schemaErrors('report', { ...report, verdict: 'perhaps' })).toEqual([expect.stringContaining('/verdict')])
  expect(schemaErrors('recording', { ...report.recording, passes: [{ kind: 'quiet' }] })).not.toEqual([])
  const nameless = { ...report.recording, name: undefined }
  expect(schemaErrors('recording', nameless)).toEqual([expect.stringContaining("must have required property 'name'")])
})
