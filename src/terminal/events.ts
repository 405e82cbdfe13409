/** What the views of the terminal listen to. */
export type { Emit, RehearsalEvent } from '../events.js'
