/** Data for a project that has none: every empty table is filled with what its schema permits. */
export { fillFromSchema, type FillFromSchemaOptions, type GeneratedFill } from './fill.js'
