import { describe, expect, it } from 'vitest'
import { UnencodableValue, encodeField, escapeField } from '../../src/seeds/copy-text.js'

describe('COPY text', () => {
  it('escapes the four characters that are structure, and nothing else', () => {
    expect(escapeField('a\tb\nc\rd\\e')).toBe('a\\tb\\nc\\rd\\\\e')
    expect(escapeField('plain "quoted", été 🦭')).toBe('plain "quoted", été 🦭')
    expect(escapeField('\\N')).toBe('\\\\N')
  })

  it('writes each kind of value in its text form', () => {
    expect(encodeField(null, 'scalar')).toBe('\\N')
    expect(encodeField(null, 'json')).toBe('\\N')
    expect(encodeField(9_007_199_254_740_993n, 'scalar')).toBe('9007199254740993')
    expect(encodeField(-0.5, 'scalar')).toBe('-0.5')
    expect(encodeField(false, 'scalar')).toBe('false')
    expect(encodeField(new Date(0), 'scalar')).toBe('1970-01-01T00:00:00.000Z')
    expect(encodeField(Uint8Array.of(0, 92, 255), 'scalar')).toBe('\\\\x005cff')
    expect(encodeField([1, 2], 'json')).toBe('[1,2]')
    expect(encodeField({ a: 'x\ny' }, 'json')).toBe('{"a":"x\\\\ny"}')
    expect(encodeField(['a"b', 'NULL', null, ['\\']], 'array')).toBe('{"a\\\\"b","NULL",NULL,{"\\\\\\\\"}}')
  })

  it('refuses what has no text form, without quoting it', () => {
    const circular: Record<string, unknown> = { secret: 'canary' }
    circular['self'] = circular
    const cases = [
      () => encodeField(undefined, 'scalar'),
      () => encodeField({ secret: 'canary' }, 'scalar'),
      () => encodeField(['canary'], 'scalar'),
      () => encodeField(circular, 'json'),
      () => encodeField({ big: 1n, secret: 'canary' }, 'json'),
      () => encodeField(new Date(Number.NaN), 'scalar'),
      () => encodeField(new Date(Date.UTC(12_000, 0, 1)), 'scalar'),
      () => encodeField([() => 'canary'], 'array'),
    ]
    for (const run of cases) {
      expect(run).toThrow(UnencodableValue)
      expect(run).not.toThrow(/canary/)
    }
  })
})
