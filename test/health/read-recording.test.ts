import { describe, expect, it } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { parseRecording } from '../../src/read-recording.js'
import { SCHEMA_VERSION } from '../../src/recording.js'
import { failReport } from '../fixtures/make.js'

const { recording } = failReport()
const read = (value: unknown) => parseRecording(JSON.stringify(value), 'r.json')
const refusal = (text: string): string => {
  try {
    parseRecording(text, 'r.json')
  } catch (error) {
    if (!(error instanceof RehearsalError)) throw error
    expect(error.code).toBe('RECORDING_INVALID')
    expect(error.exitCode).toBe(2)
    return error.message
  }
  throw new Error('it was accepted')
}

describe('a stored recording', () => {
  it('comes back as it was', () => expect(read(recording)).toEqual(recording))
  it('is found inside a report', () => expect(read(failReport())).toEqual(recording))
  it('of a later minor version is read, with what it adds left out', () => {
    const [major] = SCHEMA_VERSION.split('.')
    expect(read({ ...recording, schemaVersion: `${major}.99`, invention: 1 })).toEqual({
      ...recording,
      schemaVersion: `${major}.99`,
    })
  })
})

describe('is refused in one line that names the file:', () => {
  it.each<[string, string, RegExp]>([
    ['no JSON', '{', /not JSON/],
    ['nothing', '', /not JSON/],
    ['another kind of JSON', '[1]', /"kind": "recording"/],
    ['null', 'null', /"kind": "recording"/],
    ['a text', '"recording"', /"kind": "recording"/],
    ['a report without a recording', JSON.stringify({ kind: 'report' }), /"kind": "recording"/],
    ['another kind', JSON.stringify({ ...recording, kind: 'profile' }), /"kind": "recording"/],
    ['a later major version', JSON.stringify({ ...recording, schemaVersion: '2.0' }), /version is 2\.0.*reads 1\.x/],
    ['an earlier major version', JSON.stringify({ ...recording, schemaVersion: '0.9' }), /version is 0\.9/],
    ['a version that begins alike', JSON.stringify({ ...recording, schemaVersion: '10.0' }), /version is 10\.0/],
    ['no version', JSON.stringify({ ...recording, schemaVersion: undefined }), /version is undefined/],
    ['a missing part', JSON.stringify({ ...recording, migrations: undefined }), /migrations/],
    [
      'a wrong part deep inside',
      JSON.stringify({ ...recording, environment: { ...recording.environment, cpus: 'four' } }),
      /environment\.cpus/,
    ],
  ])('%s', (_, text, expected) => {
    const message = refusal(text)
    expect(message).toMatch(expected)
    expect(message).toMatch(/^r\.json: /)
    expect(message).not.toContain('\n')
  })
  it('its report has another version than its recording: the recording counts', () => {
    expect(refusal(JSON.stringify({ ...failReport(), recording: { ...recording, schemaVersion: '3.0' } }))).toMatch(
      /3\.0/,
    )
    expect(read({ ...failReport(), schemaVersion: '3.0' })).toEqual(recording)
  })
})
