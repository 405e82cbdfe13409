/** The team's migration tools: which one a project uses, what is pending by its own rule, how it is started. */
export { detectTool, findPlainSqlFolder, TOOLS, type Detect } from './detect.js'
export type {
  AddressVariable,
  Launch,
  Ledger,
  LedgerRow,
  MigrationSource,
  Pending,
  ReplayOptions,
  ReplayResult,
  ToolName,
  ToolRequest,
  ToolSetup,
} from './types.js'
