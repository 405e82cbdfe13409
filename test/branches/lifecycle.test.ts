import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { sweep } from '../../src/branches/index.js'
import {
  ended,
  isRoot,
  nextLine,
  nobody,
  processes,
  startNode,
  until,
  withDescendants,
} from '../support/child-process.js'

const children: ChildProcess[] = []
const start = (mode: string, ids: { uid?: number; gid?: number } = {}): ChildProcess => {
  const child = startNode('branch-child.ts', [mode], ids)
  children.push(child)
  return child
}
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

const onLinux = describe.skipIf(process.platform !== 'linux')

/** Processes that carry the run directory in their command line, with their descendants (backends carry no path). */
const familyOf = (directory: string): number[] => {
  const all = processes()
  const family = all.filter((p) => p.command.includes(`${directory}/`)).flatMap((p) => withDescendants(p.pid, all))
  return [...new Set(family)]
}
const watchdogOf = (directory: string): number => {
  const found = processes().find((p) => p.command.includes('rehearse-watchdog') && p.command.includes(directory))
  if (found === undefined) throw new Error('no watchdog')
  return found.pid
}
const filesOf = (pid: number | 'self'): string[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      return []
    }
  })
const alive = (pids: number[]): number[] => {
  const all = processes()
  // A killed process may stay as a zombie, without a command line, until its new parent notices.
  return pids.filter((pid) => all.some((p) => p.pid === pid && p.command !== ''))
}

onLinux('the end of the process that opened a branch', () => {
  test('killed while measuring: servers, busy backends and the directory are gone within 5 s', async () => {
    const child = start('measuring')
    const { dataDirectory } = await nextLine(child)
    const directory = dirname(String(dataDirectory))
    const watchdog = watchdogOf(directory)
    const servers = familyOf(directory)
    expect(servers.length).toBeGreaterThan(4)

    // It holds its pipe and nothing else, but for what everybody here inherited from outside.
    const outside = new Set(filesOf('self'))
    expect(filesOf(watchdog).filter((file) => !outside.has(file))).toHaveLength(1)

    child.kill('SIGKILL')
    await until('no process left', 5000, () => alive([...servers, watchdog]).length === 0)
    expect(existsSync(directory)).toBe(false)
  })

  test('killed while filling: the same', async () => {
    const child = start('filling')
    await nextLine(child)
    const postmaster = processes().find((p) => p.parent === child.pid && p.command.includes(' -D '))
    const directory = dirname(/-D (\S+)/.exec(postmaster?.command ?? '')?.[1] ?? '')
    const servers = familyOf(directory)
    expect(servers.length).toBeGreaterThan(1)
    child.kill('SIGKILL')
    await until('no process left', 5000, () => alive(servers).length === 0 && !existsSync(directory))
  })

  test('killed together with its watchdog: the next sweep cleans up', async () => {
    const child = start('measuring')
    const { dataDirectory } = await nextLine(child)
    const directory = dirname(String(dataDirectory))
    const servers = familyOf(directory)

    await sweep()
    expect(alive(servers), 'a sweep leaves the living alone').toEqual(servers)

    process.kill(watchdogOf(directory), 'SIGKILL')
    child.kill('SIGKILL')
    await ended(child)
    expect(alive(servers).length).toBeGreaterThan(0)
    expect(await sweep()).toContainEqual({ directory, serverStopped: true })
    await until('no process left', 1000, () => alive(servers).length === 0)
    expect(existsSync(directory)).toBe(false)
  })

  test.each(['exit', 'forget'])('%s without close: cleaned up on the way out', async (mode) => {
    const child = start(mode)
    const { dataDirectory } = await nextLine(child)
    const directory = dirname(String(dataDirectory))
    expect(await ended(child)).toBe(mode === 'exit' ? 3 : 0)
    expect(existsSync(directory)).toBe(false)
    expect(alive(familyOf(directory))).toEqual([])
  })
})

describe.skipIf(!isRoot)('as a normal user', () => {
  test('a whole branch works and leaves nothing, watchdog included', async () => {
    const child = start('query', nobody())
    const line = await nextLine(child)
    expect(line).toMatchObject({ user: 'owner' })
    const directory = dirname(String(line['dataDirectory']))
    expect(directory).toContain(`pg-rehearse-${nobody().uid}-`)
    expect(await ended(child)).toBe(0)
    expect(existsSync(directory)).toBe(false)
    expect(processes().filter((p) => p.command.includes(directory))).toEqual([])
  })

  test('root that cannot become anybody else is told so', async () => {
    const child = start('no-user', { uid: 1, gid: 1 })
    expect(await nextLine(child)).toMatchObject({ code: 'NO_USER' })
  })
})
