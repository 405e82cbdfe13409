/**
 * Where a throw-away database comes from. A branch is filled once, sealed, and then forked: every pass of a rehearsal
 * runs on its own equal copy.
 */

/** How to reach a database. `password` is a secret: it must never be logged, shown or recorded. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string
}

/** `admin` is a superuser for setting up and observing; migration and traffic use the two roles without superuser. */
export type DatabaseRole = 'admin' | 'migrate' | 'app'

/** Names of the roles that the migration and the application log in with. They may be the same. */
export interface RoleNames {
  readonly migrate: string
  readonly app: string
}

export interface BranchOptions {
  readonly major: number
  /** Fixed TCP port on 127.0.0.1; without it the system chooses a free one for every server. */
  readonly port?: number
  readonly roles: RoleNames
  /** Name of the database, `rehearsal` by default. */
  readonly database?: string
  /** Server settings like production's, in force while measuring. */
  readonly settings?: Readonly<Record<string, string>>
  /** Folder with `initdb` and `postgres` of a local installation, instead of the npm packages. */
  readonly pgBin?: string
  /**
   * Stops whatever is going on in `open`, `seal` and `fork`, and the server that is being filled, so that a long
   * statement of a seed fails; the caller still has to call `close`.
   */
  readonly signal?: AbortSignal
}

/** A running copy of the sealed branch, with measuring settings. */
export interface Copy {
  /** How the data directory was copied: `reflink` shares blocks until they are written, `copy` does not. */
  readonly copiedBy: string
  address(role: DatabaseRole): Address
  /** Path of the server's log, kept until the branch is closed. To be shown through `readServerLog` only. */
  readonly serverLog: string
  readonly dataDirectory: string
  /** Stops the server at once and removes the copy. May be called twice. */
  stop(): Promise<void>
}

export interface Branch {
  readonly provider: string
  /** A folder of the rehearsal's own: whatever is put into it is removed with the branch, by a later run if need be. */
  readonly directory: string
  readonly major: number
  readonly encoding: string
  /** The database's default collation with its provider, e.g. `C.UTF-8 (builtin)`. */
  readonly collation: string
  /** Path of the log of the server that is being filled. */
  readonly serverLog: string
  /** Addresses of the server that is being filled; an error once the branch is sealed. */
  address(role: DatabaseRole): Address
  /** Ends the filling: checkpoint, stop, everything on disk. */
  seal(): Promise<void>
  /** Copies the sealed branch and starts the copy. `settings` come after, and win over, those of the branch. */
  fork(name: string, settings?: Readonly<Record<string, string>>): Promise<Copy>
  /** Stops every server of the branch and removes everything. May be called at any time, also twice. */
  close(): Promise<void>
}

export interface BranchProvider {
  open(options: BranchOptions): Promise<Branch>
}
