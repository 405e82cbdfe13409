/** Checks files against the published JSON Schemas, as a program of somebody else would. */
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'

const root = new URL('../../schema/', import.meta.url)

/** What is wrong with a value, in ajv's words; empty when it is valid. */
export function schemaErrors(kind: 'recording' | 'report', value: unknown): string[] {
  const ajv = new Ajv2020({ allErrors: true, strict: true, strictRequired: false })
  const validate = ajv.compile(JSON.parse(readFileSync(new URL(`${kind}-1.json`, root), 'utf8')) as object)
  validate(value)
  return (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message ?? ''}`)
}
