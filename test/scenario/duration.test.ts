import { expect, it } from 'vitest'
import { parseDuration } from '../../src/scenario/duration.js'

it.each([
  ['500ms', 500],
  ['30s', 30_000],
  ['1.5s', 1_500],
  ['5m', 300_000],
  ['0s', 0],
  [' 3s ', 3_000],
  ['3', null],
  ['3 s', null],
  ['-3s', null],
  ['3h', null],
  ['s', null],
  ['', null],
  ['1e3s', null],
])('%j is %s ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})
