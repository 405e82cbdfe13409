/** The public API: what a scenario, a seed and a traffic file are written with, and the three verbs. */
export {
  defineConfig,
  defineScenario,
  loadScenario,
  type Scenario,
  type ScenarioDefinition,
  type ScenarioOverrides,
} from './scenario.js'
export { defineSeed, type Seed } from './seeds/index.js'
export { defineTraffic } from './traffic/define.js'
export { rehearse, type RehearseOptions } from './rehearse.js'
export { PROFILE_STATEMENTS_SQL } from './profile/index.js'
export { judge } from './judge/index.js'
export { renderers, type Format } from './report/index.js'
export { parseRecording } from './read-recording.js'
export { RehearsalError, EXIT } from './errors.js'
export type { RehearsalEvent } from './events.js'
export type * from './recording.js'
import type { Report } from './recording.js'
import { renderers, type Format } from './report/index.js'

/** Renders a report as `html`, `json` or `md`. */
export const render = (report: Report, format: Format): string => renderers[format](report)
