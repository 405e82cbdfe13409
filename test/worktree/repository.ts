/** A real git repository in a temporary folder that is gone after the test. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

export interface Repository {
  readonly root: string
  /** A folder beside it that does not exist yet. */
  readonly into: string
  git(...args: string[]): string
  write(files: Readonly<Record<string, string>>): void
  /** Writes the files and commits everything; returns the hash. */
  commit(files: Readonly<Record<string, string>>, message?: string): string
  /** All that git knows of it, and the bytes of its index: to be the same afterwards. */
  state(): string
}

export function repository(): Repository {
  const base = realpathSync(mkdtempSync(join(tmpdir(), 'rehearse-git-')))
  onTestFinished(() => rmSync(base, { recursive: true, force: true }))
  const root = join(base, 'repository')
  mkdirSync(root)
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'protocol.file.allow=always']
  const git = (...args: string[]): string =>
    execFileSync('git', [...identity, ...args], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  git('init', '--quiet', '--initial-branch=main')
  const write: Repository['write'] = (files) => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
  }
  return {
    root,
    into: join(base, 'run', 'worktree'),
    git,
    write,
    commit(files, message = 'a commit') {
      write(files)
      git('add', '--all')
      git('commit', '--quiet', '--message', message)
      return git('rev-parse', 'HEAD').trim()
    },
    state() {
      const index = createHash('sha256')
        .update(readFileSync(join(root, '.git/index')))
        .digest('hex')
      const questions = [
        ['for-each-ref'],
        ['worktree', 'list', '--porcelain'],
        ['count-objects', '-v'],
        ['stash', 'list'],
      ]
      const status = execFileSync('git', ['--no-optional-locks', 'status', '--porcelain'], { cwd: root })
      return [index, ...questions.map((args) => git(...args)), status].join('\n')
    },
  }
}
