/** Reads a stored recording, or the recording inside a stored report. */
import { RehearsalError } from './errors.js'
import { Recording, SCHEMA_VERSION } from './recording.js'

/** Throws RECORDING_INVALID when the text is neither, or of another major version. `file` is only for the message. */
export function parseRecording(text: string, file: string): Recording {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new RehearsalError('RECORDING_INVALID', { file, message: 'it is not JSON' })
  }
  if (isObject(value) && value['kind'] === 'report') value = value['recording']
  if (!isObject(value) || value['kind'] !== 'recording')
    throw new RehearsalError('RECORDING_INVALID', { file, message: 'it has no "kind": "recording"' })
  const version = String(value['schemaVersion'])
  if (version.split('.')[0] !== SCHEMA_VERSION.split('.')[0])
    throw new RehearsalError('RECORDING_INVALID', {
      file,
      message: `its schema version is ${version}, this program reads ${SCHEMA_VERSION.split('.')[0] ?? ''}.x`,
    })
  const parsed = Recording.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new RehearsalError('RECORDING_INVALID', {
      file,
      message: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
    })
  }
  return parsed.data
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
